"""`evor doctor`."""

import platform

from evor_eqx.cli import doctor
from evor_eqx.system import processes


def test_it_tells_versions_devices_and_where_things_lie(evor, home, monkeypatch):
    monkeypatch.setenv("EVOR_MIRRORS", "http://mirror")
    code, out, err = evor("doctor")
    assert code == 0 and not err
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert len(lines) == 10 and platform.python_version() in lines["python"]
    assert str(home) in lines["home"] and "EVOR_MIRRORS=http://mirror" in lines["variables"]
    assert "cpu" in lines["devices"] and "jax " in lines["libraries"] and "notebooks yes" in lines["extras"]


def test_the_quota_of_a_container_is_told_in_cores(monkeypatch, tmp_path):
    file = tmp_path / "cpu.max"
    monkeypatch.setattr(processes, "_QUOTA", file)
    assert "quota none" in doctor.report()["cores"]
    for text, expected in (("max 100000", "quota none"), ("150000 100000", "quota 1.5")):
        file.write_text(text)
        assert expected in doctor.report()["cores"]
