"""Seeded rollouts in gymnasium environments that run in parallel processes; one raw record per episode.

A policy is an `Actor`: observations of all environments in, one chunk of h actions for each out. A chunk is executed
to its end before the next decision, so an episode of T steps asks the policy ceil(T / h) times.

What decides an episode is its setting and its seed: the seed sets the environment's own randomness, and the key of a
decision is a function of (seed, decision index) only. So results do not depend on the number of environments or on
the order of the episodes (up to the rounding of the actor's batched products), and settings evaluated on the same
seeds are paired: the same starts, the same candidates' noise.
"""

import collections
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium
import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32

from evor_eqx.config import Setting
from evor_eqx.envs.vector import MAX_SEED, EnvProcess, LocalEnvs, ParallelEnvs, open_envs
from evor_eqx.errors import UserError
from evor_eqx.system.progress import bar


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

    The counts are Python integers, the temperatures arrays. Always called with all environments of a group, see
    `envs.ParallelEnvs`; rows of idle environments are ignored.
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
    envs: ParallelEnvs | LocalEnvs,
    actor: Actor,
    settings: Sequence[Setting],
    seeds: Sequence[int],
    *,
    reward_timing: str = "pre",
    quiet: bool = False,
) -> Rollout:
    """One episode for every setting and seed, in environments from `open_envs`; every episode must end by itself.

    Settings that share (num_candidates, num_returns) run together, their temperatures as arrays; the others one after
    another. `reward_timing` is only noted in the records: the environments have it built in. `quiet`: no progress bar.

    Raises UserError for empty or repeated settings or seeds, seeds outside [0, 2^32), and for chunks of the wrong
    shape or with values that are not finite.
    """
    _check(settings, seeds)
    start, act_seconds, finished = time.perf_counter(), 0.0, {}
    with bar(len(settings) * len(seeds), "evaluation", "episode", quiet=quiet) as progress:
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


Job = tuple[Setting, int]  # a setting and the seed of an episode


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
    envs: ParallelEnvs | LocalEnvs, actor: Actor, settings: list[Setting], seeds: Sequence[int]
) -> Iterator[tuple[list[_Slot], float]]:
    """Run settings with the same counts; after each decision, yield the slots that finished and the actor's seconds.

    The groups of environments take turns, always in the same order: while one is decided for, the others move.
    """
    jobs = itertools.product(settings, seeds)
    share = -(-len(settings) * len(seeds) // len(envs.groups))  # at first, so that few episodes still use all groups
    waiting = collections.deque(
        _turns(group, actor, settings[0], itertools.islice(jobs, share), jobs) for group in envs.groups
    )
    while waiting:
        turns = waiting.popleft()
        if (turn := next(turns, None)) is not None:
            yield turn
            waiting.append(turns)


def _turns(
    group: EnvProcess | LocalEnvs, actor: Actor, idle: Setting, first: Iterator[Job], jobs: Iterator[Job]
) -> Iterator[tuple[list[_Slot], float]]:
    """One group's turns: take what came of the last chunks, begin jobs where none runs, decide, and start the next."""
    slots, obs, finished = [_Slot(idle, 0, idle=True) for _ in range(group.num_envs)], None, []
    while (begin := _begin_jobs(slots, first if obs is None else jobs)) is not None:
        start = time.perf_counter()
        acting = [not slot.idle and slot.decision >= 0 for slot in slots]
        chunks = _decide(actor, obs, slots, acting, group.chunk_size)
        seconds = time.perf_counter() - start
        group.start(begin, chunks)
        yield finished, seconds
        outcome = group.result()
        obs, finished = outcome["obs"], _update(slots, outcome)
    yield finished, 0.0


def _begin_jobs(slots: list[_Slot], jobs: Iterator[Job]) -> Int[np.ndarray, " envs"] | None:
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
    if not all(0 <= seed <= MAX_SEED for seed in seeds):
        raise UserError(f"seeds: got {list(seeds)}, expected integers in [0, {MAX_SEED}]; choose others")
