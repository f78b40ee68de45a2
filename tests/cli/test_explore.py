"""`evor explore`: which server is started on which notebooks."""

import os

import pytest

from evor_eqx.cli.main import main
from evor_eqx.system import paths


@pytest.fixture
def started(monkeypatch, home):
    """The command that would have taken the place of this process."""
    started = []

    def execv(program, command):
        started.extend(command)
        raise SystemExit

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return started


def test_a_checkout_opens_its_own_notebooks(started, home):
    with pytest.raises(SystemExit):
        main(["explore", "--port", "8899", "--no-browser"])
    assert started[1:3] == ["-m", "jupyterlab"] and "--no-browser" in started and "--port=8899" in started
    assert f"--notebook-dir={paths.notebooks_dir()}" in started
    assert "--LabApp.default_url=/lab/tree/explorer.ipynb" in started
    assert list(home.iterdir()) == []


def test_an_installed_package_puts_its_notebooks_into_the_home_and_keeps_those_that_were_edited(
    started, home, monkeypatch
):
    source = paths.notebooks_dir()
    monkeypatch.setattr(paths, "checkout", lambda: None)
    monkeypatch.setattr(paths, "notebooks_dir", lambda: source)
    (home / "notebooks").mkdir()
    (home / "notebooks" / "explorer.ipynb").write_text("mine")
    with pytest.raises(SystemExit):
        main(["explore"])
    assert f"--notebook-dir={home / 'notebooks'}" in started and "--no-browser" not in started
    assert (home / "notebooks" / "explorer.ipynb").read_text() == "mine"
    lesson = "course/06_choosing_actions.ipynb"
    assert (home / "notebooks" / lesson).read_bytes() == (source / lesson).read_bytes()


def test_a_port_that_cannot_be_is_refused(started, capsys):
    assert main(["explore", "--port", "70000"]) == 2
    assert "port is 70000: expected 1 to 65535" in capsys.readouterr().err and started == []
