"""Rollouts that start from recorded physics: what the return from a state really is, beside what a critic says.

A dataset's row holds positions `qpos`, velocities `qvel` and, for scenes and puzzles, `button_states`; `place` puts an
environment there. `returns_from` then gives Monte-Carlo returns from that state, of the agent or of its base policy.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import gymnasium
import numpy as np
from jaxtyping import Bool, Float, Int

from evor_eqx.agent.agent import agent, base_agent
from evor_eqx.config import Setting
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.envs.ogbench import make_env
from evor_eqx.envs.physics import place
from evor_eqx.envs.tasks import Task
from evor_eqx.envs.vector import LocalEnvs, global_generator_kept
from evor_eqx.errors import UserError
from evor_eqx.evaluation.recording import chunk_length
from evor_eqx.evaluation.rollout import Episode, run_episodes
from evor_eqx.policy import FlowPolicy

_NO_LIMIT = 10**9  # steps, instead of the task's own time limit
Physics = Mapping[str, np.ndarray]  # `qpos`, `qvel` and, where there are buttons, `button_states` of one row


@dataclass(frozen=True)
class Returns:
    """Discounted returns of rollouts from one state."""

    values: Float[np.ndarray, " episodes"]
    lengths: Int[np.ndarray, " episodes"]  # environment steps
    is_cut: Bool[np.ndarray, " episodes"]  # ended by `max_steps`, not by success
    weight_behind: float  # gamma^max_steps: the weight, in a cut return, of what would have followed

    @property
    def text(self) -> str:
        """What must be said beside the returns."""
        cut, num = int(self.is_cut.sum()), len(self.is_cut)
        if cut == 0:
            return f"all {num} rollouts reached the goal"
        steps = int(self.lengths.max())
        return f"{cut} of {num} rollouts were cut after {steps} steps; what follows has weight {self.weight_behind:.1%}"


def returns_from(
    policy: FlowPolicy,
    critic: AbstractCritic | None,
    task: Task,
    physics: Physics,
    setting: Setting,
    num_flow_steps: int,
    *,
    seeds: Sequence[int] = range(16),
    max_steps: int = 300,
    num_envs: int = 16,
) -> Returns:
    """Discounted returns of fresh rollouts from a recorded state, one for each seed, decided in one batch.

    Without a critic it is the base policy that acts (N_pi = 1, whatever the setting says). A rollout ends at success or
    after `max_steps`; the task's own time limit does not count. At most `num_envs` run together, in this process; they
    are kept for the next call (an arm takes a second to make). Raises UserError as `place` and `run_episodes` do.
    """
    if critic is None:
        actor, setting = base_agent(policy, num_flow_steps), replace(setting, num_candidates=1)
    else:
        actor = agent(policy, critic, num_flow_steps)
    episodes = _episodes_from([physics], policy, actor, task, [setting], seeds, max_steps, num_envs)
    return Returns(
        values=np.array([episode.ret for episode in episodes]),
        lengths=np.array([episode.length for episode in episodes]),
        is_cut=np.array([not episode.success for episode in episodes]),
        weight_behind=task.gamma**max_steps,
    )


def returns_from_each(
    policy: FlowPolicy,
    critic: AbstractCritic,
    task: Task,
    places: Sequence[Physics],
    settings: Sequence[Setting],
    num_flow_steps: int,
    *,
    num_rollouts: int = 4,
    max_steps: int = 500,
    num_envs: int = 16,
) -> Float[np.ndarray, "settings places rollouts"]:
    """As `returns_from`, from many recorded states and for many settings in one go, with seeds of their own."""
    actor, seeds = agent(policy, critic, num_flow_steps), range(len(places) * num_rollouts)
    episodes = _episodes_from(places, policy, actor, task, settings, seeds, max_steps, num_envs)
    by_seed = np.array([episode.ret for episode in episodes]).reshape(len(settings), num_rollouts, len(places))
    return np.moveaxis(by_seed, 1, 2)


def returns_after(
    policy: FlowPolicy,
    task: Task,
    places: Sequence[Physics],
    chunks: Float[np.ndarray, "places cand chunk"],
    num_flow_steps: int,
    *,
    num_rollouts: int = 4,
    max_steps: int = 300,
    num_envs: int = 16,
) -> Float[np.ndarray, "places cand rollouts"]:
    """Discounted returns of rollouts that begin with a given chunk and go on with the base policy.

    Their mean over rollouts is the Monte-Carlo value of each candidate, which is what a critic of the base policy
    should say of it. Every rollout has a seed of its own; otherwise as `returns_from`.
    """
    num_places, num_candidates, _ = chunks.shape
    starts = [physics for physics in places for _ in range(num_candidates)]
    firsts = chunks.reshape(num_places * num_candidates, -1)
    actor, setting = base_agent(policy, num_flow_steps), Setting(num_candidates=1)
    seeds = range(len(starts) * num_rollouts)
    episodes = _episodes_from(starts, policy, actor, task, [setting], seeds, max_steps, num_envs, firsts)
    returns = np.array([episode.ret for episode in episodes])
    return np.moveaxis(returns.reshape(num_rollouts, num_places, num_candidates), 0, 2)


def _episodes_from(places, policy, actor, task, settings, seeds, max_steps, num_envs, firsts=None) -> list[Episode]:
    """An episode for every setting and seed, with discounted rewards; seed k starts at place k modulo their number.

    With `firsts` it begins with the chunk of that place, whatever the actor says.
    """
    counts = {"max_steps": max_steps, "num_envs": num_envs, "number of seeds": len(seeds), "places": len(places)}
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{name}: got {count}, expected at least 1; give a positive count")
    starts = _starts(task, min(num_envs, len(settings) * len(seeds)))
    for start in starts:
        start.places, start.firsts, start.max_steps = places, firsts, max_steps
    envs = LocalEnvs(iter(starts).__next__, chunk_length(policy, starts[0], task), len(starts))
    return run_episodes(envs, actor, settings, seeds, reward_timing=task.reward_timing, quiet=True).episodes


class _Start(gymnasium.Wrapper):
    """A reset with seed k starts at place k modulo their number; rewards are discounted; it ends after `max_steps`.

    With `firsts`, the first actions are those of the place's chunk.
    """

    places: Sequence[Physics]
    firsts: Float[np.ndarray, "places chunk"] | None
    max_steps: int

    def __init__(self, task: Task):
        super().__init__(make_env(task, max_episode_steps=_NO_LIMIT))
        self.gamma, self.steps = task.gamma, 0
        self.first: np.ndarray | None = None

    def reset(self, *, seed=None, options=None):
        _, info = self.env.reset(seed=seed, options=options)
        self.steps, index = 0, 0 if seed is None else seed % len(self.places)
        self.first = None if self.firsts is None else self.firsts[index].reshape(-1, *(self.action_space.shape or ()))
        return place(self.env, **self.places[index]), info

    def step(self, action):
        if self.first is not None and self.steps < len(self.first):
            action = self.first[self.steps]
        obs, reward, terminated, truncated, info = self.env.step(action)
        discounted = float(reward) * self.gamma**self.steps
        self.steps += 1
        return obs, discounted, terminated, truncated or self.steps >= self.max_steps, info


def _starts(task: Task, num: int) -> list[_Start]:
    """The first `num` environments that are kept for a task, made where they are missing."""
    kept = _kept(task)
    with global_generator_kept():
        kept += [_Start(task) for _ in range(num - len(kept))]
    return kept[:num]


@functools.lru_cache(maxsize=2)
def _kept(task: Task) -> list[_Start]:
    return []
