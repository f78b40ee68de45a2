"""What names a run: the data, the configuration, and the runs that it builds on."""

from pathlib import Path
from typing import Any

from evor_eqx.config import Config, to_record
from evor_eqx.data.sources import Source, find, find_or_make
from evor_eqx.envs.tasks import GENERATED, Task, dataset_name
from evor_eqx.runs.run import Run


def find_source(dataset: str, config: Config) -> Source | None:
    """The dataset's files if they are there, without making them."""
    return find(dataset_name(dataset), **data_arguments(dataset, config))


def ensure_source(dataset: str, config: Config) -> Source:
    """The dataset's files: found, or generated; what cannot be generated has the published number of episodes."""
    return find_or_make(dataset_name(dataset), **data_arguments(dataset, config))


def policy_run(source: Source, config: Config) -> Run:
    """The run folder of a dataset's base policy, whether it is there or not."""
    return Run.of(*policy_definition(source, config))


def critic_run(task: Task, source: Source, config: Config) -> Run:
    """The run folder of a task's critic, whether it is there or not."""
    return Run.of(*critic_definition(task, source, config))


def policy_definition(source: Source, config: Config) -> tuple[str, str, dict[str, Any]]:
    """Group, kind and definition of a run, as `Run.of` and `Run.open` take them."""
    definition = {**data_identity(source), "policy": to_record(config.policy), "seed": config.policy.seed}
    return source.dataset, "policy", definition


def critic_definition(task: Task, source: Source, config: Config) -> tuple[str, str, dict[str, Any]]:
    definition = {**critic_identity(source, config), "task": task.name, "gamma": task.gamma}
    return task.name, f"critic-{config.critic.label}", definition


def critic_identity(source: Source, config: Config) -> dict[str, Any]:
    return {
        **data_identity(source),
        "data_reward_timing": "pre",  # OGBench relabels data by s in all versions; rollouts say their own timing
        "critic": to_record(config.critic),
        "policy_run": policy_run(source, config).name,
        "num_flow_steps": config.num_flow_steps,
        "seed": config.critic.seed,
    }


def data_arguments(dataset: str, config: Config) -> dict[str, Any]:
    if config.data.folder is not None:
        return {"folder": Path(config.data.folder)}
    num_episodes = config.data.num_episodes if dataset_name(dataset) in GENERATED else None
    return {"num_episodes": num_episodes, "seed": config.data.seed}


def data_identity(source: Source) -> dict[str, Any]:
    return {"dataset": source.dataset, "origin": source.origin, "fingerprint": source.fingerprint}
