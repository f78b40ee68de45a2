"""The surroundings of every test: JAX on the CPU, no windows, and a home folder of its own where one is asked for."""

import ctypes.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["MPLBACKEND"] = "Agg"
# One store of compiled programs for all tests and the kernels and processes that they start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
if ctypes.util.find_library("EGL"):
    os.environ.setdefault("MUJOCO_GL", "egl")

settings.register_profile("compiled", deadline=None)  # the first call of a jitted function takes its time
settings.load_profile("compiled")


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


@pytest.fixture(scope="session")
def untrained_agent() -> Callable[..., SimpleNamespace]:
    """A function of a task's name and a chunk length: an agent of tiny networks that were never trained."""
    import jax

    from evor_eqx.build import make_critic, make_policy
    from evor_eqx.config import CriticConfig, NetworkConfig, PolicyConfig, Setting
    from evor_eqx.tasks import make_env, parse_task

    def make(name: str, chunk_length: int = 5) -> SimpleNamespace:
        task, network = parse_task(name), NetworkConfig(width=16, depth=1)
        env = make_env(task)
        obs_size, chunk_size = env.observation_space.shape[0], chunk_length * env.action_space.shape[0]
        env.close()
        policy_key, critic_key = jax.random.split(jax.random.key(0))
        policy = make_policy(PolicyConfig(network=network), obs_size, chunk_size, key=policy_key)
        critic = make_critic(CriticConfig(network=network), obs_size, chunk_size, key=critic_key)
        setting = Setting(num_candidates=3, tau_r=1.0, tau_q=0.2, num_returns=4)
        return SimpleNamespace(name=name, task=task, policy=policy, critic=critic, num_flow_steps=3, setting=setting)

    return make
