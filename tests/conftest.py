"""The surroundings of every test: JAX on the CPU, no windows, and a home folder of its own where one is asked for."""

import ctypes.util
import os
from pathlib import Path

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["MPLBACKEND"] = "Agg"
if ctypes.util.find_library("EGL"):
    os.environ.setdefault("MUJOCO_GL", "egl")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder for data, runs and figures."""
    monkeypatch.setenv("EVOR_HOME", str(tmp_path))
    return tmp_path
