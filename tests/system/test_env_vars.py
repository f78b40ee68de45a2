import os

from evor_eqx.system.env_vars import environment_with


def test_a_new_process_gets_changed_variables_and_this_one_keeps_its_own(monkeypatch):
    monkeypatch.setenv("EVOR_KEPT", "before")
    monkeypatch.delenv("EVOR_NEW", raising=False)
    monkeypatch.setenv("EVOR_GONE", "there")
    before = dict(os.environ)
    changed = environment_with({"EVOR_KEPT": "now", "EVOR_NEW": "1", "EVOR_GONE": None})
    assert (changed["EVOR_KEPT"], changed["EVOR_NEW"], "EVOR_GONE" in changed) == ("now", "1", False)
    assert changed["PATH"] == before["PATH"] and dict(os.environ) == before
