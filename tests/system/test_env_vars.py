import os

import pytest

from evor_eqx.system.env_vars import environment_variables


def test_variables_are_set_for_a_while_and_put_back_even_after_an_error(monkeypatch):
    monkeypatch.setenv("EVOR_KEPT", "before")
    monkeypatch.delenv("EVOR_NEW", raising=False)
    monkeypatch.setenv("EVOR_GONE", "there")
    with (
        pytest.raises(ValueError, match="inside"),
        environment_variables({"EVOR_KEPT": "now", "EVOR_NEW": "1", "EVOR_GONE": None}),
    ):
        assert (os.environ["EVOR_KEPT"], os.environ["EVOR_NEW"], "EVOR_GONE" in os.environ) == ("now", "1", False)
        raise ValueError("inside")
    assert (os.environ["EVOR_KEPT"], os.environ["EVOR_GONE"], "EVOR_NEW" in os.environ) == ("before", "there", False)
