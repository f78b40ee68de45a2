"""Where compiled programs are kept, asked of new processes."""

import os
import subprocess
import sys

import pytest

SCRIPT = "import jax, evor_eqx.pipeline; print(jax.config.jax_compilation_cache_dir)"


@pytest.mark.parametrize("own", [None, "elsewhere"])
def test_programs_are_kept_in_the_home_folder_unless_the_user_has_a_place(tmp_path, own):
    env = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION")}
    env |= {"EVOR_HOME": str(tmp_path)} | ({"JAX_COMPILATION_CACHE_DIR": str(tmp_path / own)} if own else {})
    found = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(tmp_path / (own or ".cache/jax"))
