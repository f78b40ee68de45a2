"""Seeded rollouts in gymnasium environments that run in parallel processes; one raw record per episode.

A policy is an `Actor`: observations of all environments in, one chunk of h actions for each out. A chunk is executed
to its end before the next decision, so an episode of T steps asks the policy ceil(T / h) times.

What decides an episode is its setting and its seed: the seed sets the environment's own randomness, and the key of a
decision is a function of (seed, decision index) only. So results do not depend on the number of environments or on
the order of the episodes (up to the rounding of the actor's batched products), and settings evaluated on the same
seeds are paired: the same starts, the same candidates' noise.

There is one process per core with a few environments each, because waking a process costs more than a step of a maze.
CPU time per environment step with all that is around it, 8 environments, 2 cores, random actions, medians of 5:

    pointmaze-medium, bare 66 us:    h = 1: 158 us, h = 5: 87 us    (a process per environment: 302 and 124 us)
    cube-single,      bare 0.99 ms:  h = 1: 1.19 ms, h = 5: 1.06 ms (a process per environment: 1.57 and 1.15 ms)
"""

import contextlib
import dataclasses
import functools
import itertools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium
import jax
import numpy as np
from gymnasium.spaces import Box, Dict, Space, flatdim
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from jaxtyping import Array, Float, Int, Key, UInt32

from evor_eqx.config import Setting
from evor_eqx.errors import UserError
from evor_eqx.progress import bar

_MAX_SEED = 2**32 - 1  # numpy's global generator takes no larger one


@dataclasses.dataclass(frozen=True)
class Episode:
    """What happened in one episode."""

    setting: Setting
    seed: int
    ret: float  # undiscounted sum of rewards
    success: bool  # the environment reported success at any step
    length: int  # environment steps
    reward_timing: str  # reward and success from the state before ("pre") or after ("post") the action

    def to_row(self) -> dict[str, Any]:
        """One flat record, the setting's fields first."""
        return {**dataclasses.asdict(self.setting), **{n: v for n, v in vars(self).items() if n != "setting"}}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Episode":
        """The inverse of `to_row`."""
        names = [field.name for field in dataclasses.fields(Setting)]
        return cls(Setting(**{name: row.pop(name) for name in names}), **row)


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Episodes (settings outermost, seeds in the given order) and their cost, without the making of environments."""

    episodes: list[Episode]
    wall_seconds: float
    act_seconds: float  # the part of `wall_seconds` spent in the actor, its compilation included

    @property
    def env_steps(self) -> int:
        """Environment steps taken, for the ratio to bare simulation."""
        return sum(episode.length for episode in self.episodes)


@runtime_checkable
class Actor(Protocol):
    """Chooses one chunk per environment from its observation, PRNG key and temperatures.

    The counts are Python integers (they set shapes); the temperatures are arrays. Always called with all environments
    of the rollout, so it compiles once per (num_candidates, num_returns); rows of idle environments are ignored.
    """

    def __call__(
        self,
        obs: Float[np.ndarray, "envs obs"],
        keys: Key[Array, " envs"],
        num_candidates: int,
        num_returns: int,
        tau_r: Float[np.ndarray, " envs"],
        tau_q: Float[np.ndarray, " envs"],
    ) -> Float[Array, "envs chunk"] | Float[np.ndarray, "envs chunk"]: ...


class ChunkEnv(gymnasium.Wrapper):
    """An environment whose action is a chunk: h actions, flattened, executed until done or until the episode ends.

    Observations become float32 and actions are clipped to the action space. A step returns the sum of the rewards and
    `info = {"success": at any of the steps, "num_steps": environment steps taken}`. Before the first reset and after
    the end of an episode a step does nothing (`num_steps` 0), so idle environments cost nothing.

    Raises UserError unless observations and actions are flat boxes.
    """

    def __init__(self, env: gymnasium.Env, horizon: int):
        super().__init__(env)
        obs, self._act = _flat_box("observation", env.observation_space), _flat_box("action", env.action_space)
        self.observation_space = _unbounded(*obs.shape)
        self.action_space = _unbounded(horizon * self._act.shape[0])
        self._obs = np.zeros(obs.shape, np.float32)
        self._terminated, self._truncated = True, False

    def reset(self, *, seed=None, options=None):
        obs, _ = self.env.reset(seed=seed, options=options)
        self._obs, self._terminated, self._truncated = np.asarray(obs, np.float32), False, False
        return self._obs, {"success": False, "num_steps": 0}

    def step(self, action):
        rewards, success, num_steps = 0.0, False, 0
        acts = np.reshape(action, (-1, *self._act.shape))
        for act in np.clip(acts, self._act.low, self._act.high).astype(self._act.dtype):
            if self._terminated or self._truncated:
                break
            obs, reward, self._terminated, self._truncated, info = self.env.step(act)
            self._obs = np.asarray(obs, np.float32)
            rewards, success, num_steps = rewards + float(reward), success or bool(info.get("success")), num_steps + 1
        return self._obs, rewards, self._terminated, self._truncated, {"success": success, "num_steps": num_steps}


class EnvPack(gymnasium.Env):
    """The `ChunkEnv`s of one process as one environment, with arrays over its members.

    A step takes `{"seeds": [n], "chunks": [n, h * act]}`: members whose seed is not -1 begin an episode with it, the
    others execute their chunk. Its `info` holds arrays `ret`, `success`, `num_steps`, `ended`.

    OGBench draws from numpy's global generator (start positions, teleports), so every member gets a generator of its
    own in that place: what it draws does not depend on its neighbours.
    """

    def __init__(self, make_env: Callable[[], gymnasium.Env], horizon: int, num_members: int):
        # The other members are made at the first step: AsyncVectorEnv makes one more pack only to read its spaces.
        self._make = lambda: ChunkEnv(make_env(), horizon)
        self._members = [self._make()]
        self._generators = [np.random.MT19937(0) for _ in range(num_members)]
        self.observation_space = _unbounded(num_members, flatdim(self._members[0].observation_space))
        chunks = _unbounded(num_members, flatdim(self._members[0].action_space))
        self.action_space = Dict(seeds=Box(-1, _MAX_SEED, (num_members,), np.int64), chunks=chunks)

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


class ParallelEnvs:
    """`num_envs` environments in `num_processes` processes; from `open_envs`."""

    def __init__(self, make_env: Callable[[], gymnasium.Env], horizon: int, num_envs: int, num_processes: int):
        # Never a plain fork: JAX is multi-threaded. The fork server imports once what every process needs.
        multiprocessing.get_context("forkserver").set_forkserver_preload(["ogbench", __name__])
        make_pack = functools.partial(EnvPack, make_env, horizon, num_envs // num_processes)
        packs = [make_pack] * num_processes
        self._packs = AsyncVectorEnv(packs, context="forkserver", autoreset_mode=AutoresetMode.DISABLED)
        self.num_envs = num_envs
        self.chunk_size = flatdim(self._packs.action_space) // num_envs - 1  # beside each chunk, one seed
        self.step(np.full(self.num_envs, -1), np.zeros((self.num_envs, self.chunk_size)))

    def step(self, seeds: Int[np.ndarray, " envs"], chunks: Float[np.ndarray, "envs chunk"]) -> dict[str, np.ndarray]:
        """Begin an episode where the seed is not -1, execute the chunk elsewhere (nothing where no episode runs).

        Returns arrays over environments: `obs`, and of this step `ret`, `success`, `num_steps`, `ended`.
        """
        action = {"seeds": self._to_packs(seeds), "chunks": self._to_packs(chunks.astype(np.float32))}
        obs, _, _, _, info = self._packs.step(action)
        return {name: self._from_packs(value) for name, value in {"obs": obs, **info}.items() if name[0] != "_"}

    def close(self, terminate: bool = False) -> None:
        """End the processes; `terminate` does not wait for a step that is under way."""
        self._packs.close(terminate=terminate)

    # Neighbours among the environments are in different processes, so that few episodes still use all cores.
    def _to_packs(self, values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, self._packs.num_envs, *values.shape[1:]).swapaxes(0, 1)

    def _from_packs(self, values: np.ndarray) -> np.ndarray:
        return values.swapaxes(0, 1).reshape(-1, *values.shape[2:])


@contextlib.contextmanager
def open_envs(
    make_env: Callable[[], gymnasium.Env],
    *,
    horizon: int,
    num_envs: int | None = None,
    num_processes: int | None = None,
) -> Iterator[ParallelEnvs]:
    """Environments in parallel processes, closed on leaving; open them once and use them for many rollouts.

    Arguments: `make_env` is picklable and makes an environment whose `info` has `success`; `horizon` is h, actions per
    chunk; `num_processes` defaults to one per core; `num_envs` defaults to four per process and is rounded up to a
    multiple of it. Raises UserError for counts below one.
    """
    num_processes = (os.cpu_count() or 1) if num_processes is None else num_processes
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


def rollout(
    make_env: Callable[[], gymnasium.Env],
    actor: Actor,
    settings: Sequence[Setting],
    seeds: Sequence[int],
    *,
    horizon: int,
    num_envs: int | None = None,
    reward_timing: str = "pre",
) -> Rollout:
    """`run_episodes` in environments that are opened for it; the arguments are those of both."""
    with open_envs(make_env, horizon=horizon, num_envs=num_envs) as envs:
        return run_episodes(envs, actor, settings, seeds, reward_timing=reward_timing)


def run_episodes(
    envs: ParallelEnvs,
    actor: Actor,
    settings: Sequence[Setting],
    seeds: Sequence[int],
    *,
    reward_timing: str = "pre",
) -> Rollout:
    """One episode for every setting and seed, in environments from `open_envs`; every episode must end by itself.

    Settings that share (num_candidates, num_returns) run together, their temperatures as arrays; the others one after
    another. `reward_timing` is only noted in the records: the environments have it built in.

    Raises UserError for empty or repeated settings or seeds, seeds outside [0, 2^32), and for chunks of the wrong
    shape or with values that are not finite.
    """
    _check(settings, seeds)
    start, act_seconds, finished = time.perf_counter(), 0.0, {}
    with bar(len(settings) * len(seeds), "evaluation", "episode") as progress:
        for group in _groups(settings):
            for slots, seconds in _run_group(envs, actor, group, seeds):
                finished |= {(slot.setting, slot.seed): slot.record(reward_timing) for slot in slots}
                act_seconds += seconds
                progress.update(len(slots))
    episodes = [finished[job] for job in itertools.product(settings, seeds)]
    return Rollout(episodes, time.perf_counter() - start, act_seconds)


@jax.jit
def decision_keys(seeds: UInt32[Array, " envs"], decisions: UInt32[Array, " envs"]) -> Key[Array, " envs"]:
    """Keys of the `decisions`-th choices (from 0) of the episodes with these seeds; they depend on nothing else."""
    fold_in = jax.random.fold_in
    return jax.vmap(lambda seed, decision: fold_in(fold_in(jax.random.key(0), seed), decision))(seeds, decisions)


@dataclasses.dataclass
class _Slot:
    """One environment and the episode that it is in, or was in last if it is idle."""

    setting: Setting
    seed: int
    idle: bool = False
    decision: int = -1  # 0 once the environment has begun the episode
    ret: float = 0.0
    success: bool = False
    length: int = 0

    def record(self, reward_timing: str) -> Episode:
        return Episode(self.setting, self.seed, self.ret, self.success, self.length, reward_timing)


def _run_group(
    envs: ParallelEnvs, actor: Actor, settings: list[Setting], seeds: Sequence[int]
) -> Iterator[tuple[list[_Slot], float]]:
    """Run settings with the same counts; after each step, yield the slots that finished and the actor's seconds."""
    jobs = itertools.product(settings, seeds)
    slots = [_Slot(settings[0], 0, idle=True) for _ in range(envs.num_envs)]
    obs = None
    while (begin := _begin_jobs(slots, jobs)) is not None:
        start = time.perf_counter()
        acting = [not slot.idle and slot.decision >= 0 for slot in slots]
        chunks = _decide(actor, obs, slots, acting, envs.chunk_size)
        seconds = time.perf_counter() - start
        outcome = envs.step(begin, chunks)
        obs = outcome["obs"]
        yield _update(slots, outcome), seconds


def _begin_jobs(slots: list[_Slot], jobs: Iterator[tuple[Setting, int]]) -> Int[np.ndarray, " envs"] | None:
    """Give the next jobs to idle slots, in place: the seeds that begin an episode, else -1; None if all is done."""
    begin = np.full(len(slots), -1)
    for index in [index for index, slot in enumerate(slots) if slot.idle]:
        for setting, seed in itertools.islice(jobs, 1):
            slots[index], begin[index] = _Slot(setting, seed), seed
    return None if all(slot.idle for slot in slots) else begin


def _decide(actor: Actor, obs, slots: list[_Slot], acting: list[bool], chunk_size: int) -> np.ndarray:
    """The actor's chunks for all slots; zeros without asking if none is acting."""
    shape = (len(slots), chunk_size)
    if not any(acting):
        return np.zeros(shape)
    setting = slots[acting.index(True)].setting
    seeds, decisions = (np.array([getattr(slot, name) for slot in slots]) for name in ("seed", "decision"))
    keys = decision_keys(seeds.astype(np.uint32), decisions.astype(np.uint32))
    tau_r, tau_q = (np.array([getattr(s.setting, name) for s in slots], np.float32) for name in ("tau_r", "tau_q"))
    chunks = np.asarray(actor(obs, keys, setting.num_candidates, setting.num_returns, tau_r, tau_q))
    if chunks.shape != shape:
        raise UserError(
            f"chunks of the actor: got shape {chunks.shape}, expected (num_envs, horizon * act) = {shape}; "
            "open the environments with the horizon that the policy was trained with"
        )
    if not np.isfinite(chunks[acting]).all():
        raise UserError("actions of the actor: got nan or inf, expected finite values; train the policy again")
    return chunks


def _update(slots: list[_Slot], outcome: dict[str, np.ndarray]) -> list[_Slot]:
    """Add a step's outcome to the slots, in place, and return those whose episode ended (idle from now on)."""
    busy = [(index, slot) for index, slot in enumerate(slots) if not slot.idle]
    for index, slot in busy:
        slot.decision += 1
        slot.ret += float(outcome["ret"][index])
        slot.success |= bool(outcome["success"][index])
        slot.length += int(outcome["num_steps"][index])
        slot.idle = bool(outcome["ended"][index])
    return [slot for _, slot in busy if slot.idle]


def _flat_box(name: str, space: Space[Any]) -> Box:
    if not (isinstance(space, Box) and len(space.shape) == 1):
        raise UserError(f"{name} space: got {space}, expected a flat Box; use a state-based environment")
    return space


def _unbounded(*shape: int) -> Box:
    return Box(-np.inf, np.inf, shape, np.float32)


def _begin(env: ChunkEnv, seed: int) -> tuple:
    """Reset, with the outcome in the form of a step in which nothing happened yet."""
    obs, info = env.reset(seed=seed)
    return obs, 0.0, False, False, info


def _groups(settings: Sequence[Setting]) -> list[list[Setting]]:
    """Settings with equal counts together (one call of the actor serves them), in order of first appearance."""
    groups = {}
    for setting in settings:
        groups.setdefault((setting.num_candidates, setting.num_returns), []).append(setting)
    return list(groups.values())


def _check(settings: Sequence[Setting], seeds: Sequence[int]) -> None:
    for name, values in (("settings", settings), ("seeds", seeds)):
        if len(values) == 0 or len(set(values)) < len(values):
            raise UserError(f"{name}: got {list(values)}, expected at least one and none twice; list each once")
    if not all(0 <= seed <= _MAX_SEED for seed in seeds):
        raise UserError(f"seeds: got {list(seeds)}, expected integers in [0, {_MAX_SEED}]; choose others")


def _check_count(name: str, count: int) -> None:
    if count < 1:
        raise UserError(f"{name}: got {count}, expected at least 1; give a positive count")
