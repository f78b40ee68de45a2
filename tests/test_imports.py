"""What the package gives by name, and what it loads for it."""

import subprocess
import sys

import pytest

import evor_eqx


def test_every_public_name_is_there_and_others_are_refused():
    for name in evor_eqx.__all__:
        assert getattr(evor_eqx, name) is not None
    assert set.union(*evor_eqx._MODULES.values()) == set(evor_eqx.__all__)
    with pytest.raises(AttributeError, match="evor_eqx"):
        evor_eqx.decides  # noqa: B018


@pytest.mark.parametrize("module", ["evor_eqx.cli.main", "evor_eqx.data.generation.collect", "evor_eqx.envs.vector"])
def test_help_and_processes_that_only_simulate_do_not_wait_for_jax(module):
    code = f"import sys, {module}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
