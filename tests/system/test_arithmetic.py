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


TRAIN = """
import sys
if sys.argv[1] == "jax first":
    import jax
    jax.devices()
import evor_eqx
import jax, numpy as np
from evor_eqx.runs.run import Run
out = jax.jit(lambda x: x.sum(0))(np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32))
print(np.asarray(out).tobytes().hex()[:4000], Run.of("group", "kind", {}).definition.get("jax"))
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or os.cpu_count() < 2, reason="needs two cores, and Linux")
def test_one_core_gives_the_bits_of_two_and_other_numbers_of_threads_name_the_run(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("NPROC", "XLA_FLAGS")}

    def said(cores: int, first: str = "", **variables: str) -> tuple[str, str]:
        out = subprocess.run(
            [sys.executable, "-c", TRAIN, first],
            env={**environment, "EVOR_HOME": str(tmp_path), **variables},
            preexec_fn=lambda: os.sched_setaffinity(0, set(range(cores))),
            capture_output=True,
            text=True,
        )
        numbers, _, identity = out.stdout.strip().partition(" ")
        return numbers, identity

    assert said(1) == said(2) == said(2, NPROC="2")
    assert said(2)[1] == "None"
    others = said(2, NPROC="1")
    assert others[1] == "{'threads': '1'}" and others[0] != said(2)[0]
    if os.cpu_count() != 2:
        assert "threads" in said(2, "jax first")[1]
