"""Settings of JAX that change numbers are ignored by commands, and name the runs of other programs."""

import os
import subprocess
import sys

import jax
import pytest

from evor_eqx.runs.run import Run
from evor_eqx.system import arithmetic


@pytest.fixture
def without_jax(monkeypatch):
    """As in a process that has not imported JAX yet."""
    monkeypatch.delitem(sys.modules, "jax")


def test_the_defaults_are_those_of_jax():
    """Asked in a new process, without any variable of JAX."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    code = "from evor_eqx.system.arithmetic import changed_settings as c; print(c())"
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout
    assert said.strip() == "{}"


def test_they_are_taken_out_of_the_variables_and_others_stay(monkeypatch, without_jax):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    monkeypatch.setenv("JAX_LOG_COMPILES", "1")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true --xla_force_host_platform_device_count=2")
    assert arithmetic.ignore_settings() == ["JAX_ENABLE_X64", "--xla_cpu_enable_fast_math=true"]
    assert "JAX_ENABLE_X64" not in os.environ and os.environ["JAX_LOG_COMPILES"] == "1"
    assert os.environ["XLA_FLAGS"] == "--xla_force_host_platform_device_count=2"
    assert arithmetic.ignore_settings() == []


def test_a_run_of_a_program_with_other_settings_has_a_folder_of_its_own(home):
    plain = Run.of("group", "kind", {})
    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        assert arithmetic.changed_settings() == {"jax_default_matmul_precision": "highest"}
        other = Run.of("group", "kind", {})
    finally:
        jax.config.update("jax_default_matmul_precision", None)
    assert other != plain and "jax" not in plain.definition
    assert other.definition["jax"] == {"jax_default_matmul_precision": "highest"}
    assert Run.of("group", "kind", {}) == plain
