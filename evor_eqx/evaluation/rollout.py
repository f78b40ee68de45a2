"""Seeded rollouts in gymnasium environments that run in parallel processes; one raw record per episode.

An agent takes the observations of all environments and gives one chunk of h actions for each. A chunk is executed to
its end before the next decision, so an episode of T steps has ceil(T / h) decisions.

An episode is a function of its inference settings and its seed, which sets the environment's own randomness; the key of
a decision depends on (seed, index of the decision) only. So results do not depend on the number of environments or on
the order of the episodes, up to the rounding of batched products. Settings on the same seeds are paired: they have the
same starts and the same candidates' noise.
"""

import collections
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt32

from evor_eqx.config import InferenceConfig
from evor_eqx.envs.chunks import MAX_SEED, UNKNOWN
from evor_eqx.envs.vector import EnvProcess, LocalEnvs, ParallelEnvs, ProcessEnded
from evor_eqx.errors import UserError
from evor_eqx.evaluation.episodes import Episode, Rollout
from evor_eqx.system.progress import bar

MAX_STEPS = 20_000  # of an episode


@runtime_checkable
class Acts(Protocol):
    """What rollouts need of an agent; `agent.Agent` is one."""

    def act_each(
        self, obs: Float[np.ndarray, "envs obs"], keys: Key[Array, " envs"], settings: Sequence[InferenceConfig]
    ) -> Float[np.ndarray, "envs chunk"]:
        """A chunk for each environment, by its observation, key and settings, which differ in temperatures only.

        It is always asked for all environments of a group (`envs.vector.ParallelEnvs`); rows of idle ones are ignored.
        """
        ...


def run_episodes(
    envs: ParallelEnvs | LocalEnvs,
    agent: Acts,
    settings: Sequence[InferenceConfig],
    seeds: Sequence[int],
    *,
    reward_timing: str = "pre",
    quiet: bool = False,
) -> Rollout:
    """Run one episode for every setting and seed; every episode must end by itself.

    Settings that differ in temperatures only run together, the others one after another.

    **Arguments:**

    - `envs`: environments from `envs.vector.open_envs`, or `LocalEnvs`.
    - `agent`: who acts.
    - `settings`, `seeds`: inference settings, and seeds in [0, 2^32); each once.
    - `reward_timing`: noted in the records; the environments have it built in.
    - `quiet`: no progress bar.

    **Raises:**

    UserError for empty or repeated settings or seeds, for seeds out of range, and for chunks of the wrong shape or with
    values that are not finite.
    """
    _check(settings, seeds)
    start, act_seconds, finished = time.perf_counter(), 0.0, {}
    with bar(len(settings) * len(seeds), "evaluation", "episode", quiet=quiet) as progress:
        for group in _groups(settings):
            while jobs := [job for job in itertools.product(group, seeds) if job not in finished]:
                try:
                    for slots, seconds in _run_group(envs, agent, jobs):
                        finished |= {(slot.inference, slot.seed): slot.record(reward_timing) for slot in slots}
                        act_seconds += seconds
                        progress.update(len(slots))
                except ProcessEnded as error:
                    assert isinstance(envs, ParallelEnvs)  # the only ones with processes
                    envs.restart(error)
    episodes = [finished[job] for job in itertools.product(settings, seeds)]
    return Rollout(episodes, time.perf_counter() - start, act_seconds)


@jax.jit
def decision_keys(seeds: UInt32[Array, " envs"], decisions: UInt32[Array, " envs"]) -> Key[Array, " envs"]:
    """The keys of decisions, from their episodes' seeds and their indices in the episodes (from 0)."""
    fold_in = jax.random.fold_in
    return jax.vmap(lambda seed, decision: fold_in(fold_in(jax.random.key(0), seed), decision))(seeds, decisions)


Job = tuple[InferenceConfig, int]  # a setting and the seed of an episode


@dataclasses.dataclass
class _Slot:
    """One environment, and its present or, if it is idle, its last episode."""

    inference: InferenceConfig
    seed: int
    idle: bool = False
    decision: int = -1  # 0 once the environment has begun the episode
    ret: float = 0.0
    success: int = UNKNOWN
    length: int = 0

    def record(self, reward_timing: str) -> Episode:
        success = None if self.success == UNKNOWN else bool(self.success)
        return Episode(self.inference, self.seed, self.ret, success, self.length, reward_timing)


def _run_group(envs: ParallelEnvs | LocalEnvs, agent: Acts, all_jobs: list[Job]) -> Iterator[tuple[list[_Slot], float]]:
    """Run jobs whose settings have the same counts. Yields after each decision: slots that finished, agent's seconds.

    The groups of environments take turns in a fixed order. While the agent decides for one group, the others move.
    """
    jobs, idle = iter(all_jobs), all_jobs[0][0]
    share = -(-len(all_jobs) // len(envs.groups))  # at first, so that few episodes still use all groups
    waiting = collections.deque(
        _turns(group, agent, idle, itertools.islice(jobs, share), jobs) for group in envs.groups
    )
    while waiting:
        turns = waiting.popleft()
        if (turn := next(turns, None)) is not None:
            yield turn
            waiting.append(turns)


def _turns(
    group: EnvProcess | LocalEnvs, agent: Acts, idle: InferenceConfig, first: Iterator[Job], jobs: Iterator[Job]
) -> Iterator[tuple[list[_Slot], float]]:
    """One group's turns: collect the outcome of the last chunks, begin jobs in idle slots, decide, start the chunks."""
    slots, obs, finished = [_Slot(idle, 0, idle=True) for _ in range(group.num_envs)], None, []
    while (begin := _begin_jobs(slots, first if obs is None else jobs)) is not None:
        start = time.perf_counter()
        acting = [not slot.idle and slot.decision >= 0 for slot in slots]
        chunks = _decide(agent, obs, slots, acting, group.chunk_size)
        seconds = time.perf_counter() - start
        group.start(begin, chunks)
        yield finished, seconds
        outcome = group.result()
        obs, finished = outcome["obs"], _update(slots, outcome)
    yield finished, 0.0


def _begin_jobs(slots: list[_Slot], jobs: Iterator[Job]) -> Int[np.ndarray, " envs"] | None:
    """Give the next jobs to idle slots, in place. Returns the seeds of new episodes, else -1; None if all is done."""
    begin = np.full(len(slots), -1)
    for index in [index for index, slot in enumerate(slots) if slot.idle]:
        for inference, seed in itertools.islice(jobs, 1):
            slots[index], begin[index] = _Slot(inference, seed), seed
    return None if all(slot.idle for slot in slots) else begin


def _decide(agent: Acts, obs, slots: list[_Slot], acting: list[bool], chunk_size: int) -> np.ndarray:
    """The agent's chunks for all slots; zeros if none is acting."""
    shape = (len(slots), chunk_size)
    if not any(acting):
        return np.zeros(shape)
    seeds, decisions = (np.array([getattr(slot, name) for slot in slots]) for name in ("seed", "decision"))
    keys = decision_keys(seeds.astype(np.uint32), decisions.astype(np.uint32))
    chunks = np.asarray(agent.act_each(obs, keys, [slot.inference for slot in slots]))
    if chunks.shape != shape:
        raise UserError(
            f"chunks of the agent: got shape {chunks.shape}, expected (num_envs, horizon * act) = {shape}; "
            "open the environments with the horizon that the policy was trained with"
        )
    if not np.isfinite(chunks[acting]).all():
        raise UserError("actions of the agent: got nan or inf, expected finite values; train the policy again")
    return chunks


def _update(slots: list[_Slot], outcome: dict[str, np.ndarray]) -> list[_Slot]:
    """Add a step's outcome to the slots, in place, and return those whose episode ended (idle from now on)."""
    busy = [(index, slot) for index, slot in enumerate(slots) if not slot.idle]
    for index, slot in busy:
        slot.decision += 1
        if not (np.isfinite(outcome["ret"][index]) and np.isfinite(outcome["obs"][index]).all()):
            raise UserError(
                f"episode with seed {slot.seed}: got a reward or an observation that is not finite after "
                f"{slot.length} steps, expected finite numbers; mend the environment"
            )
        slot.ret += float(outcome["ret"][index])
        slot.success = max(slot.success, int(outcome["success"][index]))
        slot.length += int(outcome["num_steps"][index])
        if slot.length > MAX_STEPS:
            raise UserError(
                f"episode with seed {slot.seed}: got no end within {MAX_STEPS:,} steps, expected one; give the "
                "environment a time limit, e.g. gymnasium.make(..., max_episode_steps=1000)"
            )
        slot.idle = bool(outcome["ended"][index])
    return [slot for _, slot in busy if slot.idle]


def _groups(settings: Sequence[InferenceConfig]) -> list[list[InferenceConfig]]:
    """Settings with equal counts together (one call of the agent serves them), in order of first appearance."""
    kinds = dict.fromkeys(each.counts for each in settings)
    return [[each for each in settings if each.counts == kind] for kind in kinds]


def _check(settings: Sequence[InferenceConfig], seeds: Sequence[int]) -> None:
    for name, values in (("settings", settings), ("seeds", seeds)):
        if len(values) == 0 or len(set(values)) < len(values):
            raise UserError(f"{name}: got {list(values)}, expected at least one, without duplicates; list each once")
    if not all(0 <= seed <= MAX_SEED for seed in seeds):
        raise UserError(f"seeds: got {list(seeds)}, expected integers in [0, {MAX_SEED}]; choose others")
