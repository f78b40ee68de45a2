"""What names a run: the data, the configuration, and the runs that it builds on."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from evor_eqx.config import Config
from evor_eqx.data.custom import CustomTask, OwnRows
from evor_eqx.data.sources import Source, find, find_or_make
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError
from evor_eqx.runs.records import to_record
from evor_eqx.runs.run import Run


def find_source(task: Task, config: Config) -> Source | None:
    """The data of a task if they are there, without making them."""
    return task.source if isinstance(task, CustomTask) else find(task.dataset, **_data_arguments(config))


def ensure_source(task: Task, config: Config) -> Source:
    """The data of a task: found, or generated.

    Raises UserError for an own task whose episodes are too short for the chunks, before anything is written.
    """
    if not isinstance(task, CustomTask):
        return find_or_make(task.dataset, **_data_arguments(config))
    if config.data.folder is not None:
        raise UserError(
            f"data.folder is {config.data.folder!r}: expected none for {task.name}, because a task of your own brings "
            "its data along; give them to custom_task"
        )
    for rows in task.source.rows.values():
        rows.window_starts(config.policy.chunk_length)
    return task.source


def policy_run(source: Source, config: Config) -> Run:
    """The run folder of a dataset's base policy, whether it is there or not."""
    definition = {**_data_identity(source), "policy": to_record(config.policy), "seed": config.policy.seed}
    if isinstance(source, OwnRows):
        definition["bounds"] = asdict(source.bounds)
    return Run.of(source.dataset, "policy", definition)


def critic_run(task: Task, source: Source, config: Config) -> Run:
    """The run folder of a task's critic, whether it is there or not."""
    task = task.with_discount(config.gamma)
    definition = {**_critic_identity(source, config), "task": task.name, "gamma": task.gamma}
    return Run.of(task.name, f"critic-{config.critic.label}", definition)


def multitask_run(tasks: list[Task], source: Source, config: Config) -> Run:
    """The run folder of critics of several tasks on one encoder, whether it is there or not."""
    names = [task.name for task in tasks]
    definition = {
        **_critic_identity(source, config),
        "tasks": names,
        "gamma": tasks[0].with_discount(config.gamma).gamma,
    }
    return Run.of(source.dataset, f"critics-{config.critic.label}", definition)


def multi_seed_run(task: Task, source: Source, config: Config, members: list[Run]) -> Run:
    """The run folder in which the critics of `members`, which differ in their seeds, are trained side by side."""
    definition = {**_data_identity(source), "task": task.name, "runs": [run.name for run in members]}
    return Run.of(task.name, f"seeds-{config.critic.label}", definition)


def _critic_identity(source: Source, config: Config) -> dict[str, Any]:
    return {
        **_data_identity(source),
        "data_reward_timing": "pre",  # OGBench relabels data by s in all versions; rollouts say their own timing
        "critic": to_record(config.critic),
        "policy_run": policy_run(source, config).name,
        "seed": config.critic.seed,
    }


def _data_arguments(config: Config) -> dict[str, Any]:
    if config.data.folder is not None:
        return {"folder": Path(config.data.folder).expanduser()}
    return {"num_episodes": config.data.num_episodes, "seed": config.data.seed}


def _data_identity(source: Source) -> dict[str, Any]:
    return {"dataset": source.dataset, "origin": source.origin, "fingerprint": source.fingerprint}
