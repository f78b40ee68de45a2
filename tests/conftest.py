"""The surroundings of every test: JAX on the CPU, no windows, and a home folder of its own where one is asked for."""

import ctypes.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["MPLBACKEND"] = "Agg"
# Most of the tests' time is compilation, and their programs are small: a third less.
_COMPILE_FAST = (
    "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_COMPILE_FAST}".strip()
# One store of compiled programs for all tests and the kernels and processes that they start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
if ctypes.util.find_library("EGL"):
    os.environ.setdefault("MUJOCO_GL", "egl")

settings.register_profile("compiled", deadline=None)  # the first call of a jitted function takes its time
settings.load_profile("compiled")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: the notebooks, then files with slow tests; pytest-xdist gives each file to one process."""
    items.sort(key=lambda item: (item.path.parent.name != "notebooks", not item.get_closest_marker("slow")))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder for data, runs and figures."""
    monkeypatch.setenv("EVOR_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home folder for a module: what one of its tests made, the next one finds, as for a user."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVOR_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def notebooks_with_solutions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The notebooks are those of a folder of their own, with their solutions as code."""
    from headless import write_with_solutions  # not above: JAX reads its settings when it is imported

    from evor_eqx.system import paths

    folder = tmp_path_factory.mktemp("notebooks")
    write_with_solutions(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "notebooks_dir", lambda: folder)
        yield


@pytest.fixture(autouse=True, scope="module")
def registries() -> Iterator[None]:
    """What the tests of a file register is forgotten after it."""
    from evor_eqx.critics import flow_targets, registry

    for name in registry.critic_names():
        registry.critic_config(name)  # imported later, it would not register itself again
    known = [(each, dict(each)) for each in (flow_targets.TARGETS, registry._classes)]
    yield
    for each, before in known:
        each.clear()
        each.update(before)


@pytest.fixture(autouse=True, scope="module")
def programs() -> Iterator[None]:
    """Compiled programs are forgotten after each file: over the whole suite they take gigabytes."""
    yield
    import jax

    jax.clear_caches()


@pytest.fixture
def threads_change_often():
    """Let threads take turns far more often than usual, so that what they disturb shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)
