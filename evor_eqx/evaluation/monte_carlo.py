"""Monte Carlo rollouts from a state: the returns that follow a recorded state, to compare a critic with.

A dataset's row holds positions `qpos`, velocities `qvel` and, for scenes and puzzles, `button_states`.
`envs.physics.place` puts an environment there. `returns_from` then gives Monte Carlo returns from that state, of an
agent or of its base policy.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import gymnasium
import numpy as np
from jaxtyping import Float

from evor_eqx.agent.agent import Agent
from evor_eqx.config import InferenceConfig
from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.envs.generator import global_generator_kept
from evor_eqx.envs.physics import place
from evor_eqx.envs.tasks import Task
from evor_eqx.envs.vector import LocalEnvs
from evor_eqx.errors import UserError
from evor_eqx.evaluation.episodes import Episode
from evor_eqx.evaluation.fitting import check_fits, sizes_of, with_agents_discount
from evor_eqx.evaluation.rollout import run_episodes

_NO_LIMIT = 10**9  # steps, instead of the task's own time limit
Physics = Mapping[str, np.ndarray]  # `qpos`, `qvel` and, where there are buttons, `button_states` of one row


def returns_from(
    agent: Agent,
    task: Task,
    physics: Physics,
    *,
    seeds: Sequence[int] = range(16),
    max_steps: int = 300,
    num_envs: int = 16,
) -> CensoredReturns:
    """Discounted returns of fresh rollouts from a recorded state, one for each seed, decided in one batch.

    A rollout ends with the task or after `max_steps`; the task's own time limit does not count. The return of a rollout
    that `max_steps` cut off is an interval, see `censoring`.

    **Arguments:**

    - `agent`: who acts; `Agent.base_policy_agent` gives the base policy alone.
    - `task`: the task whose environment is used; the discount is that of the agent's critic.
    - `physics`: the state; see `envs.physics.place`.
    - `seeds`: a rollout for each.
    - `max_steps`: environment steps after which a rollout is cut.
    - `num_envs`: environments that run together, in this process. They are kept for the next call.

    **Raises:**

    UserError as `place` and `run_episodes` do.
    """
    task = with_agents_discount(agent, task)
    episodes = episodes_from([physics], agent, task, [agent.inference], seeds, max_steps, num_envs)
    return _returns(episodes, task, lambda array: array)


def returns_from_each(
    agent: Agent,
    task: Task,
    places: Sequence[Physics],
    settings: Sequence[InferenceConfig],
    *,
    num_rollouts: int = 4,
    max_steps: int = 500,
    num_envs: int = 16,
) -> CensoredReturns:
    """As `returns_from`, from several recorded states and for several inference settings in one call.

    **Arguments:**

    - `agent`, `task`: who acts, and on what.
    - `places`: the states.
    - `settings`: the inference settings.
    - `num_rollouts`: rollouts from each state, all with different seeds; settings share the seeds.
    - `max_steps`, `num_envs`: those of `returns_from`.

    **Returns:**

    Discounted returns [settings, places, rollouts].
    """
    task, seeds = with_agents_discount(agent, task), range(len(places) * num_rollouts)
    episodes = episodes_from(places, agent, task, settings, seeds, max_steps, num_envs)
    shape = len(settings), num_rollouts, len(places)
    return _returns(episodes, task, lambda array: np.moveaxis(array.reshape(shape), 1, 2))


def returns_after(
    agent: Agent,
    task: Task,
    places: Sequence[Physics],
    chunks: Float[np.ndarray, "places cand chunk"],
    *,
    num_rollouts: int = 4,
    max_steps: int = 300,
    num_envs: int = 16,
) -> CensoredReturns:
    """Discounted returns of rollouts that begin with a given chunk and go on with the agent's base policy.

    Their mean over rollouts is the Monte Carlo value of each candidate, which a perfect critic of the base policy
    predicts.

    **Arguments:**

    - `agent`, `task`: whose base policy acts, and on what.
    - `places`: the states.
    - `chunks`: the candidates' chunks at each state.
    - `num_rollouts`: rollouts for each candidate, all with different seeds.
    - `max_steps`, `num_envs`: those of `returns_from`.

    **Returns:**

    Discounted returns [places, cand, rollouts].
    """
    num_places, num_candidates, _ = chunks.shape
    starts = [physics for physics in places for _ in range(num_candidates)]
    firsts = chunks.reshape(num_places * num_candidates, -1)
    base, seeds = agent.base_policy_agent(), range(len(starts) * num_rollouts)
    task = with_agents_discount(agent, task)
    episodes = episodes_from(starts, base, task, [base.inference], seeds, max_steps, num_envs, firsts)
    shape = num_rollouts, num_places, num_candidates
    return _returns(episodes, task, lambda array: np.moveaxis(array.reshape(shape), 0, 2))


def _returns(episodes: Sequence[Episode], task: Task, arrange: Callable[[np.ndarray], np.ndarray]) -> CensoredReturns:
    """The returns of episodes, whose `success` says whether the task ended them, see `_Start`."""
    weights = [0.0 if episode.success else task.gamma**episode.length for episode in episodes]
    recorded = np.array([episode.ret for episode in episodes])
    return CensoredReturns(arrange(recorded), arrange(np.array(weights)), task.return_bounds)


def episodes_from(places, agent, task, settings, seeds, max_steps, num_envs, firsts=None, actor=None) -> list[Episode]:
    """An episode for every setting and seed, with discounted rewards; seed k starts at place k modulo their number.

    With `firsts`, it begins with the chunk of that place instead of the agent's. `actor` acts in the agent's place.
    """
    counts = {"max_steps": max_steps, "num_envs": num_envs, "number of seeds": len(seeds), "places": len(places)}
    for name, count in counts.items():
        if count < 1:
            raise UserError(f"{name}: got {count}, expected at least 1; give a positive count")
    starts = _starts(task, min(num_envs, len(settings) * len(seeds)))
    for start in starts:
        start.places, start.firsts, start.max_steps = places, firsts, max_steps
    check_fits(agent, task, *sizes_of(starts[0]))
    envs = LocalEnvs(iter(starts).__next__, agent.chunk_length, len(starts))
    return run_episodes(envs, actor or agent, settings, seeds, reward_timing=task.reward_timing, quiet=True).episodes


class _Start(gymnasium.Wrapper):
    """A reset with seed k starts at place k modulo their number; rewards are discounted; it ends after `max_steps`.

    With `firsts`, the first actions are those of the place's chunk. Its `success` says whether the task ended.
    """

    places: Sequence[Physics]
    firsts: Float[np.ndarray, "places chunk"] | None
    max_steps: int

    def __init__(self, task: Task):
        super().__init__(task.make_env(max_episode_steps=_NO_LIMIT))
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
        obs, reward, terminated, truncated, _ = self.env.step(action)
        discounted = float(reward) * self.gamma**self.steps
        self.steps += 1
        return obs, discounted, terminated, truncated or self.steps >= self.max_steps, {"success": terminated}


def _starts(task: Task, num: int) -> list[_Start]:
    """`num` environments that are kept for a task; missing ones are made."""
    kept = _kept(task)
    with global_generator_kept():
        kept += [_Start(task) for _ in range(num - len(kept))]
    return kept[:num]


@functools.lru_cache(maxsize=2)
def _kept(task: Task) -> list[_Start]:
    return []
