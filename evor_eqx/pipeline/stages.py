"""The pipeline, each stage made once: dataset -> base policy -> action bank -> critic -> agent.

Every `ensure_...` returns the result of its stage. It trains what is missing and resumes an interrupted training. If
another process is making the same result, it waits for it. The command line, the notebooks and the figures all use this
module. `watch` is called after each block of updates, see `training.loop.fit`.
"""

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np

from evor_eqx.agent.agent import Agent
from evor_eqx.config import Config
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.checks import check_critic, check_values
from evor_eqx.critics.multitask import check_multitask
from evor_eqx.data.custom import OwnRows
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.loading import load_dataset
from evor_eqx.data.pieces import first_rows
from evor_eqx.data.sources import SPLITS, Source
from evor_eqx.envs.tasks import Task, all_tasks
from evor_eqx.pipeline.identity import critic_run, ensure_source, multi_seed_run, multitask_run, policy_run
from evor_eqx.pipeline.loading import (
    base_agent,
    bounds_of,
    check_policy,
    facts_of,
    load_critic,
    load_policy,
    load_run_agent,
)
from evor_eqx.policy import FlowPolicy
from evor_eqx.runs.run import Run
from evor_eqx.system.code_identity import is_own
from evor_eqx.system.locks import lock
from evor_eqx.system.progress import note
from evor_eqx.training import phases
from evor_eqx.training.action_bank import bank_path, ensure_bank
from evor_eqx.training.fit import Trained
from evor_eqx.training.loop import Watch, unwatched
from evor_eqx.training.multi_seed import fit_critics, remove_handed_out


def ensure_policy(task: Task, config: Config, *, watch: Watch = unwatched) -> Trained[FlowPolicy]:
    """Phase 1: the base policy of a task's dataset, shared by all tasks of it."""
    source = ensure_source(task, config)
    run = policy_run(source, config).open()
    if not run.complete:
        with lock(run.path):
            if not run.complete:
                phases.fit_policy(run, source, config, watch)
    return load_policy(run)


def has_banks(source: Source, config: Config) -> bool:
    """Whether the base policy's draws that critics learn from exist, or the configuration uses none."""
    run = policy_run(source, config)
    return not config.critic.num_bank_draws or all(bank_path(run, split, config.critic).exists() for split in SPLITS)


def ensure_banks(task: Task, config: Config) -> None:
    """The draws of the base policy at the rows of a task's dataset, for the critics of all tasks of it."""
    source, policy = ensure_source(task, config), ensure_policy(task, config)
    for split in SPLITS if not has_banks(source, config) else ():
        ensure_bank(policy, load_dataset(source, None, split).obs, split, config.critic)


def ensure_critic(task: Task, config: Config, *, watch: Watch = unwatched) -> Trained[AbstractCritic]:
    """Phase 2: the reward-to-go critic of a task, on the dataset and base policy that the configuration names.

    `watch` is called while the critic trains, but not while the base policy does.
    """
    task = task.with_discount(config.gamma)
    source = ensure_source(task, config)
    run = critic_run(task, source, config)
    _look_before(run, source, task, config)
    policy = ensure_policy(task, config)
    run.open()
    if not run.complete:
        with lock(run.path):
            if not run.complete:
                phases.fit_critic(run, source, task, policy, config, watch)
    return load_critic(run, config=config.critic)


def _look_before(run: Run, source: Source, task: Task, config: Config) -> None:
    """Raise UserError for an own critic that could not be trained, before anything is; say what own data leave out."""
    if run.complete:
        return
    if config.critic.own_code():
        _check_own_critic(source, task, config)
    if isinstance(source, OwnRows):
        _note_lengths(source.rows["train"], config)


def _check_own_critic(source: Source, task: Task, config: Config) -> None:
    rows, h = load_dataset(source, task, "train"), config.policy.chunk_length
    sizes = {"obs_size": rows.obs.shape[1], "chunk_size": rows.act.shape[1] * h}
    check_critic(config.critic, **sizes)
    if is_own(type(config.critic)):
        alone = replace(config.critic, num_members=1)  # an ensemble gives its members' distributions equal weights
        critic = phases.untrained_critic(rows, task.gamma, alone, sizes)(jax.random.key(alone.seed))
        some = rows.with_chunk(np.arange(len(rows.obs)), h)[:16]
        check_values(critic, config.critic.kind, rows.obs[some], rows.chunks(some, h))


def _note_lengths(rows: OfflineDataset, config: Config) -> None:
    """Say if no backup bootstraps, and if episodes are too short to learn from."""
    lengths = np.unique(rows.last_row, return_counts=True)[1] - 1
    if config.critic.n_step >= lengths.max():
        note(
            f"n_step is {config.critic.n_step}, and the longest episode has {lengths.max()} steps: each backup is the "
            "recorded return, so targets do not differ; set a smaller n_step to bootstrap"
        )
    h = config.policy.chunk_length
    has_windows = np.logical_or.reduceat(rows.window_starts(h), first_rows(rows))
    if not has_windows.all():
        note(
            f"{(~has_windows).sum()} of {len(lengths)} training episodes are left out: they were cut off after fewer "
            f"than {2 * h - 1} steps, which hold no two chunks of {h} actions. If many are, returns are learned from "
            "the others only; set a smaller policy.chunk_length"
        )


def ensure_critics(task: Task, configs: Sequence[Config]) -> list[Trained[AbstractCritic]]:
    """`ensure_critic` for several seeds. The configurations must differ in their seeds only.

    The unfinished critics train side by side if their number is a multiple of the number of devices and their data fit
    on the device together. Otherwise they train one after the other.
    """
    first = configs[0]
    task = task.with_discount(first.gamma)
    source = ensure_source(task, first)
    _look_before(critic_run(task, source, first), source, task, first)
    runs = {critic_run(task, source, config).open(): config for config in configs}
    # An interrupted training of all seeds continues with all of them, even if some seeds were already handed out.
    begun = multi_seed_run(task, source, first, list(runs)).path.exists()
    members = {run: config for run, config in runs.items() if begun or not run.complete}
    if len(members) > 1 and len(members) % first.num_devices == 0:
        policies = [ensure_policy(task, config) for config in members.values()]
        together = multi_seed_run(task, source, first, list(members)).open()
        with lock(together.path):
            if not all(run.complete for run in members):
                fit_critics(together, list(members), source, task, policies, list(members.values()))
    remove_handed_out(task)
    return [ensure_critic(task, config) for config in configs]


def ensure_multitask_critic(task: Task, config: Config) -> Trained[AbstractCritic]:
    """Phase 2 for all tasks of the task's dataset in one run, on one encoder; returns the critic of this task.

    Raises UserError as `critics.multitask.check_multitask`, before anything is trained.
    """
    check_multitask(config.critic)
    task = task.with_discount(config.gamma)
    source, tasks = ensure_source(task, config), all_tasks(task)
    policy = ensure_policy(task, config)
    run = multitask_run(tasks, source, config).open()
    if not run.complete:
        with lock(run.path):
            if not run.complete:
                phases.fit_multitask(run, source, tasks, policy, config)
    return Trained(phases.load_multitask(run, len(tasks), config.critic).task(tasks.index(task)), run)


def ensure_agent(task: Task, config: Config, *, watch: Watch = unwatched) -> Agent:
    """The agent of a task: base policy and critic, with the configuration's inference settings."""
    run = ensure_critic(task, config, watch=watch).run
    return load_run_agent(run, config.inference, config=config.critic)


def ensure_base_agent(task: Task, config: Config) -> Agent:
    """The base policy of a task's dataset as an agent, which needs no critic (N_pi = 1)."""
    return base_agent(ensure_policy(task, config), config.inference).base_policy_agent()


def ensure_multitask_agent(task: Task, config: Config) -> Agent:
    """As `ensure_agent`, with the critic that was trained together with those of the dataset's other tasks."""
    critic = ensure_multitask_critic(task, config)
    policy = ensure_policy(task, config)
    check_policy(critic.run, policy)
    facts = facts_of(critic.run, policy.model, critic.model) | {"task": task.name}
    return Agent(policy.model, critic.model, config.inference, facts=facts, bounds=bounds_of(policy.run))
