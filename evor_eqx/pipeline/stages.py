"""The way of the data, each station made once: dataset -> base policy -> critic -> evaluation.

Every `ensure_...` looks for its run folder, resumes what a kill left unfinished, trains what is missing and returns
what is there; what another process is making, it waits for. The command line, the notebooks and the figures all come
through here.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from evor_eqx.config import Config
from evor_eqx.critics.base import AbstractCritic, ReturnScale
from evor_eqx.critics.factory import check_shareable, make_shared_critic
from evor_eqx.critics.multitask import of_task
from evor_eqx.data.loading import load_dataset
from evor_eqx.data.sources import SPLITS, Source
from evor_eqx.envs.tasks import Task, all_tasks
from evor_eqx.pipeline.identity import (
    critic_definition,
    critic_identity,
    data_identity,
    ensure_source,
    policy_definition,
    policy_run,
)
from evor_eqx.pipeline.loading import load_critic, load_policy
from evor_eqx.policy import FlowPolicy
from evor_eqx.runs.run import Run
from evor_eqx.system.locks import make_once
from evor_eqx.training import loop
from evor_eqx.training.action_bank import bank_path, ensure_bank, is_made
from evor_eqx.training.fit import Trained, moving_average
from evor_eqx.training.multi_seed import remove_handed_out, train_side_by_side
from evor_eqx.training.phases import train_critic, train_policy, train_shared_critics


def ensure_policy(dataset: str, config: Config, *, watch: loop.Watch = loop.unwatched) -> Trained[FlowPolicy]:
    """Phase 1: the base policy of a dataset, shared by all of its tasks. `watch` sees it train (`train.fit`)."""
    source = ensure_source(dataset, config)
    run = Run.open(*policy_definition(source, config))
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
    run = Run.open(*critic_definition(task, source, config))
    run.train_once(lambda: train_critic(run, source, task, policy, config, watch))
    return load_critic(run)


def ensure_critics(task: Task, configs: Sequence[Config]) -> list[Trained[AbstractCritic]]:
    """`ensure_critic` for several seeds; the configurations differ in nothing else.

    Those that are left train side by side, if their number is a multiple of the devices' and their data fit on the
    device together; else one after the other.
    """
    source = ensure_source(task.dataset, configs[0])
    runs = {Run.open(*critic_definition(task, source, config)): config for config in configs}

    def definition(runs: Iterable[Run]) -> tuple[str, str, dict[str, Any]]:
        record = {**data_identity(source), "task": task.name, "runs": [run.name for run in runs]}
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
        **critic_identity(source, config),
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
