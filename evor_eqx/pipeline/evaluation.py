"""Phase 3: rollouts of an agent, each episode run once."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
from jaxtyping import Float

from evor_eqx.agent import agent
from evor_eqx.config import Config, Setting
from evor_eqx.envs.ogbench import make_env
from evor_eqx.envs.tasks import Task
from evor_eqx.envs.vector import ParallelEnvs, open_envs
from evor_eqx.evaluation.rollout import Actor, Episode, run_episodes
from evor_eqx.evaluation.statistics import Interval, wilson_interval
from evor_eqx.pipeline.loading import load_critic, load_policy
from evor_eqx.pipeline.stages import ensure_critic, ensure_policy, ensure_shared_critic
from evor_eqx.runs.run import Run
from evor_eqx.system.files import read_lines, write_lines
from evor_eqx.system.locks import make_once


@dataclass(frozen=True)
class Result:
    """The episodes of one setting."""

    setting: Setting
    episodes: list[Episode]

    @property
    def outcomes(self) -> Float[np.ndarray, " episodes"]:
        """1 where an episode succeeded, else 0, in their order: settings on the same seeds compare in pairs."""
        return np.array([episode.success for episode in self.episodes], float)

    @property
    def success(self) -> Interval:
        """Success rate with Wilson's 95 % interval."""
        return wilson_interval(int(self.outcomes.sum()), len(self.episodes))


def ensure_evaluation(task: Task, config: Config, settings: Sequence[Setting], *, shared: bool = False) -> list[Result]:
    """Phase 3: rollouts of the task's agent, one result per setting, in their order and on the same episodes.

    With `shared`, the critic is that of `ensure_shared_critic`.
    """
    policy = ensure_policy(task.dataset, config)
    critic = ensure_shared_critic(task, config) if shared else ensure_critic(task, config)
    actor = agent.agent(policy.model, critic.model, config.num_flow_steps)
    with _lazy_envs(task, config) as envs:
        return _ensure_episodes(critic.run, actor, task, config, settings, envs)


def ensure_base_evaluation(task: Task, config: Config) -> Result:
    """Rollouts of the base policy alone (N_pi = 1), which need no critic; kept in the base policy's run."""
    setting = replace(config.setting, num_candidates=1)
    with checkpoint_evaluation(task, config, with_critic=False) as evaluate:
        return evaluate(None, [setting])[0]


@contextlib.contextmanager
def checkpoint_evaluation(
    task: Task, config: Config, *, with_critic: bool = True
) -> Iterator[Callable[[int | None, Sequence[Setting]], list[Result]]]:
    """Phase 3 at several checkpoints in the same environments: a function of (step, settings) that gives the results.

    The step is one of `TrainConfig.snapshot_steps`, or None for the end; with a critic it is the critic's, and the base
    policy is that of its end. Without one, the base policy acts alone and settings must have N_pi = 1.
    """
    policy = ensure_policy(task.dataset, config)
    run = ensure_critic(task, config).run if with_critic else policy.run

    def evaluate(step: int | None, settings: Sequence[Setting]) -> list[Result]:
        if with_critic:
            actor = agent.agent(policy.model, load_critic(run, step).model, config.num_flow_steps)
        else:
            actor = agent.base_agent(load_policy(run, step).model, config.num_flow_steps)
        return _ensure_episodes(run, actor, task, config, settings, envs, step)

    with _lazy_envs(task, config) as envs:
        yield evaluate


@contextlib.contextmanager
def _lazy_envs(task: Task, config: Config) -> Iterator[Callable[[], ParallelEnvs]]:
    """Environments of a task that open when they are first asked for: where episodes are found, none are needed."""
    make, sizes = functools.partial(make_env, task), (config.policy.chunk_length, config.evaluation.num_envs)
    with contextlib.ExitStack() as stack:
        yield functools.cache(lambda: stack.enter_context(open_envs(make, horizon=sizes[0], num_envs=sizes[1])))


def _ensure_episodes(
    run: Run,
    actor: Actor,
    task: Task,
    config: Config,
    settings: Sequence[Setting],
    envs: Callable[[], ParallelEnvs],
    step: int | None = None,
) -> list[Result]:
    """Run the episodes that the run folder does not hold yet; what is done is saved after every N_pi."""
    conditions = f"{task.reward_timing}-{config.num_flow_steps}steps-ogbench{version('ogbench')}"
    model = "" if step is None else f"-after{step}"
    path = run.path / "results" / f"{task.name}-{conditions}{model}.jsonl"
    seeds = range(config.evaluation.seed, config.evaluation.seed + config.evaluation.num_episodes)

    def known() -> dict[tuple[Setting, int], Episode]:
        return {(e.setting, e.seed): e for e in map(Episode.from_row, read_lines(path))}

    def missing() -> list[Setting]:
        there = known()
        return [s for s in settings if any((s, seed) not in there for seed in seeds)]

    def run_missing() -> None:
        episodes = known()
        for _, group in itertools.groupby(sorted(missing(), key=_counts), key=_counts):
            alike = list(group)
            todo = [seed for seed in seeds if any((setting, seed) not in episodes for setting in alike)]
            rollout = run_episodes(envs(), actor, alike, todo, reward_timing=task.reward_timing)
            episodes |= {(e.setting, e.seed): e for e in rollout.episodes}
            write_lines(path, [e.to_row() for e in episodes.values()])

    make_once(path, lambda: not missing(), run_missing)
    episodes = known()
    return [Result(setting, [episodes[setting, seed] for seed in seeds]) for setting in settings]


def _counts(setting: Setting) -> tuple[int, int]:
    return setting.num_candidates, setting.num_returns
