"""Environments in parallel processes, stepped together, each through whole chunks of actions.

There is one process per core with a few environments each, because waking a process costs more than a step of a maze.
CPU time per environment step, everything included (8 environments, 2 cores, random actions, medians of 5):

    pointmaze-medium, bare 66 us:    h = 1: 158 us, h = 5: 87 us    (a process per environment: 302 and 124 us)
    cube-single,      bare 0.99 ms:  h = 1: 1.19 ms, h = 5: 1.06 ms (a process per environment: 1.57 and 1.15 ms)
"""

import contextlib
import functools
import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, flatdim
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from jaxtyping import Float, Int

from evor_eqx.envs.checks import flat_box
from evor_eqx.errors import UserError
from evor_eqx.system.processes import blank_main, num_cores

MAX_SEED = 2**32 - 1  # the largest seed that numpy's global generator takes
UNKNOWN = -1  # success where no step's info said whether there was one; else 0 or 1


class ChunkEnv(gymnasium.Wrapper):
    """An environment whose action is a chunk: h actions, flattened, executed one by one until the episode ends.

    Observations become float32, and actions are clipped to the action space. A step returns the sum of the rewards. Its
    `info` holds `success` (see `UNKNOWN`; 1 if it was said at any of the steps) and `num_steps` (environment steps
    taken). Before the first reset and after the end of an episode a step does nothing, so idle environments cost
    nothing.

    **Arguments:**

    - `env`: an environment. Its `info` may have `success` or `is_success`.
    - `horizon`: h, the actions in a chunk.

    **Raises:** UserError unless observations and actions are flat boxes.
    """

    def __init__(self, env: gymnasium.Env, horizon: int):
        super().__init__(env)
        obs, self._act = flat_box("observation", env.observation_space), flat_box("action", env.action_space)
        self.observation_space = _unbounded(*obs.shape)
        self.action_space = _unbounded(horizon * self._act.shape[0])
        self._obs = np.zeros(obs.shape, np.float32)
        self._terminated, self._truncated = True, False

    def reset(self, *, seed=None, options=None):
        obs, _ = self.env.reset(seed=seed, options=options)
        self._obs, self._terminated, self._truncated = np.asarray(obs, np.float32), False, False
        return self._obs, {"success": UNKNOWN, "num_steps": 0}

    def step(self, action):
        rewards, success, num_steps = 0.0, UNKNOWN, 0
        acts = np.reshape(action, (-1, *self._act.shape))
        for act in np.clip(acts, self._act.low, self._act.high).astype(self._act.dtype):
            if self._terminated or self._truncated:
                break
            obs, reward, self._terminated, self._truncated, info = self.env.step(act)
            self._obs = np.asarray(obs, np.float32)
            rewards, success, num_steps = rewards + float(reward), max(success, _success(info)), num_steps + 1
        return self._obs, rewards, self._terminated, self._truncated, {"success": success, "num_steps": num_steps}


class EnvPack(gymnasium.Env):
    """The `ChunkEnv`s of one process as one environment, with arrays over its members.

    A step takes `{"seeds": [n], "chunks": [n, h * act]}`. Members whose seed is not -1 begin an episode with it; the
    others execute their chunk. The step's `info` holds arrays `ret`, `success`, `num_steps`, `ended`.

    OGBench draws from numpy's global generator (start positions, teleports). So each member replaces it with
    a generator of its own while it steps, and no member's draws depend on the others.
    """

    def __init__(self, make_env: Callable[[], gymnasium.Env], horizon: int, num_members: int):
        # The other members are made at the first step: AsyncVectorEnv makes one more pack only to read its spaces.
        self._make = lambda: ChunkEnv(make_env(), horizon)
        self._members = [self._make()]
        self._generators = [np.random.MT19937(0) for _ in range(num_members)]
        self.observation_space = _unbounded(num_members, flatdim(self._members[0].observation_space))
        chunks = _unbounded(num_members, flatdim(self._members[0].action_space))
        self.action_space = Dict(seeds=Box(-1, MAX_SEED, (num_members,), np.int64), chunks=chunks)

    def step(self, action):
        self._members += [self._make() for _ in self._generators[len(self._members) :]]
        outcomes = []
        for env, generator, seed, chunk in zip(
            self._members, self._generators, action["seeds"], action["chunks"], strict=True
        ):
            np.random.set_bit_generator(generator)  # pyright: ignore[reportAttributeAccessIssue]
            outcomes.append(env.step(chunk) if seed < 0 else _begin(env, int(seed)))
        obs, ret, terminated, truncated, infos = zip(*outcomes, strict=True)
        info = {name: np.array([info[name] for info in infos]) for name in ("success", "num_steps")}
        info |= {"ret": np.array(ret), "ended": np.logical_or(terminated, truncated)}
        return np.stack(obs), 0.0, False, False, info

    def close(self):
        for env in self._members:
            env.close()


class EnvProcess:
    """A few environments in another process. It steps them while this process does something else."""

    def __init__(self, make_pack: Callable[[], EnvPack], num_envs: int):
        # No plain fork, because JAX is multi-threaded. The fork server imports once what every process needs.
        multiprocessing.get_context("forkserver").set_forkserver_preload(["ogbench", __name__])
        with blank_main():
            self._env = AsyncVectorEnv([make_pack], context="forkserver", autoreset_mode=AutoresetMode.DISABLED)
        self.num_envs = num_envs
        self.chunk_size = flatdim(self._env.action_space) // num_envs - 1  # beside each chunk, one seed

    def start(self, seeds: Int[np.ndarray, " envs"], chunks: Float[np.ndarray, "envs chunk"]) -> None:
        """Begin a step; `result` returns its outcome.

        **Arguments:**

        - `seeds`: where the seed is not -1, an episode begins with it.
        - `chunks`: executed by the other environments; those without a running episode do nothing.
        """
        self._env.step_async({"seeds": seeds[None], "chunks": chunks[None].astype(np.float32)})

    def result(self) -> dict[str, np.ndarray]:
        """Wait for the step: arrays over environments, `obs`, `ret`, `success`, `num_steps` and `ended`."""
        obs, _, _, _, info = self._env.step_wait()
        return {name: value[0] for name, value in {"obs": obs, **info}.items() if name[0] != "_"}

    def close(self, terminate: bool) -> None:
        """End the process; with `terminate`, at once, even in the middle of a step."""
        self._env.close(terminate=terminate)


class ParallelEnvs:
    """Environments in several processes, the `groups`, which take turns; made by `open_envs`."""

    def __init__(self, make_env: Callable[[], gymnasium.Env], horizon: int, num_envs: int, num_processes: int):
        each = num_envs // num_processes
        make_pack = functools.partial(EnvPack, make_env, horizon, each)
        self.groups = [EnvProcess(make_pack, each) for _ in range(num_processes)]
        for group in self.groups:  # the processes make their environments side by side
            group.start(np.full(each, -1), np.zeros((each, group.chunk_size)))
        for group in self.groups:
            group.result()

    def close(self, terminate: bool = False) -> None:
        """End the processes; with `terminate`, at once, even in the middle of a step."""
        for group in self.groups:
            group.close(terminate)


class LocalEnvs:
    """Environments in this process, as one group: no process has to be started, and the caller can look inside them.

    NumPy's global generator, which OGBench draws from, is restored after each step.
    """

    def __init__(self, make_env: Callable[[], gymnasium.Env], horizon: int, num_envs: int):
        with global_generator_kept():
            self._pack = EnvPack(make_env, horizon, num_envs)
        self.groups, self.num_envs = [self], num_envs
        self.chunk_size = flatdim(self._pack.action_space) // num_envs - 1
        self._outcome: dict[str, np.ndarray] = {}
        self.start(np.full(num_envs, -1), np.zeros((num_envs, self.chunk_size)))

    def start(self, seeds: Int[np.ndarray, " envs"], chunks: Float[np.ndarray, "envs chunk"]) -> None:
        """Do a whole step. The arguments are those of `EnvProcess.start`."""
        with global_generator_kept():
            obs, _, _, _, info = self._pack.step({"seeds": seeds, "chunks": chunks.astype(np.float32)})
        self._outcome = {"obs": obs, **info}

    def result(self) -> dict[str, np.ndarray]:
        """The outcome of the step, as in `EnvProcess.result`."""
        return self._outcome

    def close(self) -> None:
        """Close the environments."""
        self._pack.close()


@contextlib.contextmanager
def global_generator_kept() -> Iterator[None]:
    """Restore NumPy's global generator and its state on leaving."""
    generator = np.random.get_bit_generator()  # pyright: ignore[reportAttributeAccessIssue]
    state = np.random.get_state(legacy=False)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_bit_generator(generator)  # pyright: ignore[reportAttributeAccessIssue]
        np.random.set_state(state)  # noqa: NPY002


@contextlib.contextmanager
def open_envs(
    make_env: Callable[[], gymnasium.Env],
    *,
    horizon: int,
    num_envs: int | None = None,
    num_processes: int | None = None,
) -> Iterator[ParallelEnvs]:
    """Environments in parallel processes, closed on leaving. Open them once and use them for many rollouts.

    **Arguments:**

    - `make_env`: makes an environment; it travels to the processes, e.g. `Task.make_env`.
    - `horizon`: h, the actions in a chunk.
    - `num_envs`: default: four per process. It is rounded up to a multiple of the number of processes.
    - `num_processes`: default: one per core.

    **Raises:** UserError for counts below one.
    """
    num_processes = num_cores() if num_processes is None else num_processes
    num_envs = 4 * num_processes if num_envs is None else num_envs
    for name, count in (("horizon", horizon), ("num_envs", num_envs), ("num_processes", num_processes)):
        _check_count(name, count)
    num_processes = min(num_processes, num_envs)
    envs = ParallelEnvs(make_env, horizon, -(-num_envs // num_processes) * num_processes, num_processes)
    try:
        yield envs
    except BaseException:
        envs.close(terminate=True)
        raise
    envs.close()


def _unbounded(*shape: int) -> Box:
    return Box(-np.inf, np.inf, shape, np.float32)


def _success(info: dict[str, Any]) -> int:
    """What a step's info says of success."""
    said = [info[name] for name in ("success", "is_success") if info.get(name) is not None]
    return max((int(bool(np.any(each))) for each in said), default=UNKNOWN)


def _begin(env: ChunkEnv, seed: int) -> tuple:
    """Reset, and return the outcome in the form of a step without reward."""
    obs, info = env.reset(seed=seed)
    return obs, 0.0, False, False, info


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise UserError(f"{name}: got {count}, expected at least 1; give a positive count")
