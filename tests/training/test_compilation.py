"""Where compiled programs are kept, asked of new processes; and models made in one program."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import numpy as np
import pytest

from evor_eqx.config import FieldConfig
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.training.compilation import initialised

SCRIPT = """
import jax
from evor_eqx.training import compilation
{then}
print(jax.config.jax_compilation_cache_dir)
"""


def place_of_programs(home, then, **variables):
    """Where a new process keeps its compiled programs."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION")}
    command = [sys.executable, "-c", SCRIPT.format(then=then)]
    found = subprocess.run(
        command, env={**env, "EVOR_HOME": str(home), **variables}, capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


@pytest.mark.parametrize("own", [None, "elsewhere"])
def test_programs_are_kept_in_the_home_folder_unless_the_user_has_a_place(tmp_path, own):
    variables = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / own)} if own else {}
    found = place_of_programs(tmp_path, "compilation.keep_compiled()", **variables)
    assert found == str(tmp_path / (own or ".cache/jax"))


def test_an_import_alone_changes_nothing(tmp_path):
    assert place_of_programs(tmp_path, "import evor_eqx.pipeline.experiment") == "None"


def test_a_model_made_in_one_program_is_the_one_made_step_by_step():
    config = FlowConfig(network=FieldConfig(width=8, depth=1))

    def make(key):
        return make_critic(config, 3, 2, key=key)

    one, steps = initialised(make, jax.random.key(5)), make(jax.random.key(5))
    assert jax.tree.structure(one) == jax.tree.structure(steps)
    for a, b in zip(*(jax.tree.leaves(eqx.filter(model, eqx.is_array)) for model in (one, steps)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
