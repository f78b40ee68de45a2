"""The way of the data, each station made once: dataset -> base policy -> critic -> evaluation.

Every `ensure_...` looks for its run folder, resumes what a kill left unfinished, trains what is missing and returns
what is there; what another process is making, it waits for. The command line, the notebooks and the figures all come
through here.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from evor_eqx.agent import agent
from evor_eqx.config import Config, CriticConfig, PolicyConfig, Setting, from_record, to_record
from evor_eqx.critics.base import AbstractCritic, ReturnScale
from evor_eqx.critics.factory import blank_critic, blank_policy, check_shareable, make_shared_critic
from evor_eqx.critics.multitask import of_task
from evor_eqx.data.sources import SPLITS, Source, find, find_or_make
from evor_eqx.envs.tasks import GENERATED, Task, all_tasks, dataset_name, make_env
from evor_eqx.envs.vector import ParallelEnvs, open_envs
from evor_eqx.evaluation.rollout import Actor, Episode, run_episodes
from evor_eqx.evaluation.statistics import Interval, wilson_interval
from evor_eqx.policy import FlowPolicy
from evor_eqx.runs.run import Run
from evor_eqx.system.files import read_lines, write_lines
from evor_eqx.system.locks import make_once
from evor_eqx.training import loop
from evor_eqx.training.action_bank import is_made
from evor_eqx.training.multi_seed import remove_handed_out, train_side_by_side
from evor_eqx.training.phases import (
    Trained,
    bank_path,
    ensure_bank,
    load_dataset,
    moving_average,
    train_critic,
    train_policy,
    train_shared_critics,
)


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


def find_source(dataset: str, config: Config) -> Source | None:
    """The dataset's files if they are there, without making them."""
    return find(dataset_name(dataset), **_data_arguments(dataset, config))


def ensure_source(dataset: str, config: Config) -> Source:
    """The dataset's files: found, or generated; what cannot be generated has the published number of episodes."""
    return find_or_make(dataset_name(dataset), **_data_arguments(dataset, config))


def policy_run(source: Source, config: Config) -> Run:
    """The run folder of a dataset's base policy, whether it is there or not."""
    return Run.of(*_policy_definition(source, config))


def critic_run(task: Task, source: Source, config: Config) -> Run:
    """The run folder of a task's critic, whether it is there or not."""
    return Run.of(*_critic_definition(task, source, config))


def ensure_policy(dataset: str, config: Config, *, watch: loop.Watch = loop.unwatched) -> Trained[FlowPolicy]:
    """Phase 1: the base policy of a dataset, shared by all of its tasks. `watch` sees it train (`train.fit`)."""
    source = ensure_source(dataset, config)
    run = Run.open(*_policy_definition(source, config))
    run.train_once(lambda: train_policy(run, source, config, watch))
    return load_policy(run)


def has_banks(source: Source, config: Config) -> bool:
    """Whether the draws of the base policy that critics learn from are there, or none are wanted."""
    run = policy_run(source, config)
    return not config.critic.num_bank_draws or all(is_made(bank_path(run, split, config)) for split in SPLITS)


def ensure_banks(dataset: str, config: Config) -> None:
    """The draws of the base policy at a dataset's rows, for the critics of all its tasks."""
    source, policy = ensure_source(dataset, config), ensure_policy(dataset, config)
    for split in SPLITS if not has_banks(source, config) else ():
        ensure_bank(policy, load_dataset(source, None, split).obs, split, config)


def ensure_critic(task: Task, config: Config, *, watch: loop.Watch = loop.unwatched) -> Trained[AbstractCritic]:
    """Phase 2: the reward-to-go critic of a task, on the dataset and base policy that the configuration names.

    `watch` sees the critic train (`train.fit`), not the base policy.
    """
    source = ensure_source(task.dataset, config)
    policy = ensure_policy(task.dataset, config)
    run = Run.open(*_critic_definition(task, source, config))
    run.train_once(lambda: train_critic(run, source, task, policy, config, watch))
    return load_critic(run)


def ensure_critics(task: Task, configs: Sequence[Config]) -> list[Trained[AbstractCritic]]:
    """`ensure_critic` for several seeds; the configurations differ in nothing else.

    Those that are left train side by side, if their number is a multiple of the devices' and their data fit on the
    device together; else one after the other.
    """
    source = ensure_source(task.dataset, configs[0])
    runs = {Run.open(*_critic_definition(task, source, config)): config for config in configs}

    def definition(runs: Iterable[Run]) -> tuple[str, str, dict[str, Any]]:
        record = {**_data_identity(source), "task": task.name, "runs": [run.name for run in runs]}
        return task.name, f"seeds-{configs[0].critic.label}", record

    begun = Run.of(*definition(runs)).path.exists()  # all of them, some of which may have been handed out before a kill
    members = {run: config for run, config in runs.items() if begun or not run.complete}
    if len(members) > 1 and len(members) % configs[0].num_devices == 0:
        policies = [ensure_policy(task.dataset, config) for config in members.values()]
        together = Run.open(*definition(members))
        arguments = (together, list(members), source, task, policies, list(members.values()))
        make_once(together.path, lambda: all(run.complete for run in members), lambda: train_side_by_side(*arguments))
    remove_handed_out(task)
    return [ensure_critic(task, config) for config in configs]


def ensure_shared_critic(task: Task, config: Config) -> Trained[AbstractCritic]:
    """Phase 2 for all tasks of the task's dataset in one run, on one encoder; returns the critic of this task.

    Raises UserError as `build.check_shareable`, before anything is trained.
    """
    check_shareable(config.critic)
    source, tasks = ensure_source(task.dataset, config), all_tasks(task)
    policy = ensure_policy(task.dataset, config)
    definition = {
        **_critic_identity(source, config),
        "tasks": [other.name for other in tasks],
        "gamma": task.gamma,
    }
    run = Run.open(source.dataset, f"critics-{config.critic.label}", definition)
    run.train_once(lambda: train_shared_critics(run, source, tasks, policy, config))
    sizes = run.manifest["sizes"]
    scales = ReturnScale(*(jnp.zeros(len(tasks)) for _ in range(4)))

    def like():
        model = make_shared_critic(config.critic, **sizes, scales=scales, key=jax.random.key(0))
        return loop.init_state(model, config.critic.train)

    return Trained(of_task(moving_average(run, like), tasks.index(task)), run)


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


def load_policy(run: Run, step: int | None = None) -> Trained[FlowPolicy]:
    """The base policy of a finished run, or its snapshot after `step` updates."""
    return _load(run, blank_policy, PolicyConfig, "policy", step)


def load_critic(run: Run, step: int | None = None) -> Trained[AbstractCritic]:
    """The critic of a finished run, or its snapshot after `step` updates."""
    return _load(run, blank_critic, CriticConfig, "critic", step)


def _load(run: Run, blank: Callable[..., Any], kind: type, phase: str, step: int | None) -> Trained[Any]:
    record, sizes = run.config[phase], run.manifest["sizes"]
    config = from_record(kind, record).train
    return Trained(moving_average(run, lambda: loop.init_state(blank(record, sizes), config), step), run)


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


def _policy_definition(source: Source, config: Config) -> tuple[str, str, dict[str, Any]]:
    """Group, kind and definition of a run, as `Run.of` and `Run.open` take them."""
    definition = {**_data_identity(source), "policy": to_record(config.policy), "seed": config.policy.seed}
    return source.dataset, "policy", definition


def _critic_definition(task: Task, source: Source, config: Config) -> tuple[str, str, dict[str, Any]]:
    definition = {**_critic_identity(source, config), "task": task.name, "gamma": task.gamma}
    return task.name, f"critic-{config.critic.label}", definition


def _critic_identity(source: Source, config: Config) -> dict[str, Any]:
    return {
        **_data_identity(source),
        "data_reward_timing": "pre",  # OGBench relabels data by s in all versions; rollouts say their own timing
        "critic": to_record(config.critic),
        "policy_run": policy_run(source, config).name,
        "num_flow_steps": config.num_flow_steps,
        "seed": config.critic.seed,
    }


def _data_arguments(dataset: str, config: Config) -> dict[str, Any]:
    if config.data.folder is not None:
        return {"folder": Path(config.data.folder)}
    num_episodes = config.data.num_episodes if dataset_name(dataset) in GENERATED else None
    return {"num_episodes": num_episodes, "seed": config.data.seed}


def _data_identity(source: Source) -> dict[str, Any]:
    return {"dataset": source.dataset, "origin": source.origin, "fingerprint": source.fingerprint}
