"""The training of phases 1 and 2, each in its run folder: from the rows of a dataset to a checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from evor_eqx.config import Config, CriticConfig
from evor_eqx.critics.base import AbstractCritic, ReturnScale
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.multitask import MultiTaskFlow, make_multitask_flow
from evor_eqx.critics.next_draw import draw_choice
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.loading import load_dataset
from evor_eqx.data.pieces import of_tasks
from evor_eqx.data.sources import SPLITS, Source, Split
from evor_eqx.data.windows import HostWindows, Windows
from evor_eqx.envs.tasks import Task
from evor_eqx.evaluation.held_out import HeldOut
from evor_eqx.policy import FlowPolicy, make_policy
from evor_eqx.runs.run import Run
from evor_eqx.training import loop
from evor_eqx.training.action_bank import ensure_bank
from evor_eqx.training.compilation import initialised
from evor_eqx.training.fit import Trained, fit_in_run, moving_average, phase_key
from evor_eqx.training.statistics import observation_statistics, return_statistics
from evor_eqx.training.update import init_state


def fit_policy(run: Run, source: Source, config: Config, watch: loop.Watch = loop.unwatched) -> None:
    """Phase 1: behaviour cloning of the dataset's chunks."""
    dataset, validation = (load_dataset(source, None, split) for split in ("train", "val"))
    h = config.policy.chunk_length
    sizes = {"obs_size": dataset.obs.shape[1], "chunk_size": dataset.act.shape[1] * h}
    init_key, train_key = jax.random.split(phase_key(1, config.policy.seed))
    statistics = observation_statistics(dataset)
    model = initialised(lambda key: make_policy(config.policy, **sizes, key=key, statistics=statistics), init_key)
    windows = tuple(split.windows(gamma=1.0, chunk_length=h) for split in (dataset, validation))
    options = {"key": train_key, "watch": watch, "num_devices": config.num_devices}
    fit_in_run(run, model, windows, config.policy.train, sizes, **options)


def fit_critic(
    run: Run,
    source: Source,
    task: Task,
    policy: Trained[FlowPolicy],
    config: Config,
    watch: loop.Watch = loop.unwatched,
) -> None:
    """Phase 2: the critic of one task."""
    training = CriticTraining.of(source, task, policy, config)
    init_key, train_key = critic_keys(config)
    windows = [_critic_windows(split, name, task.gamma, policy, config) for name, split in training.splits.items()]
    options = {"key": train_key, "measure": training.held_out, "watch": watch, "num_devices": config.num_devices}
    options["facts"] = {"policy_sha256": policy.run.digest()}
    fit_in_run(run, initialised(training.make, init_key), windows, config.critic.train, training.sizes, **options)


@dataclass(frozen=True)
class CriticTraining:
    """Everything needed to train the critic of a task, except for the base policy's draws."""

    splits: dict[Split, OfflineDataset]
    sizes: dict[str, int]
    make: Callable[[Key[Array, ""]], AbstractCritic]  # an untrained critic
    held_out: HeldOut  # what the critic is compared with while it trains

    @classmethod
    def of(cls, source: Source, task: Task, policy: Trained[FlowPolicy], config: Config) -> "CriticTraining":
        """Read a task's data. Raises UserError if the recorded returns do not suit the critic."""
        splits: dict[Split, OfflineDataset] = {name: load_dataset(source, task, name) for name in SPLITS}
        dataset, gamma = splits["train"], task.gamma
        sizes = {"obs_size": dataset.obs.shape[1], "chunk_size": policy.model.chunk_size}
        make = untrained_critic(dataset, gamma, config.critic, sizes)
        held_out = HeldOut.of(splits["val"], gamma, config.policy.chunk_length, bounds=task.return_bounds)
        return cls(splits, sizes, make, held_out)


def untrained_critic(
    dataset: OfflineDataset, gamma: float, config: CriticConfig, sizes: dict[str, int]
) -> Callable[[Key[Array, ""]], AbstractCritic]:
    """What makes a critic from a key, in the units of the data. Raises UserError if their returns do not suit it."""
    scale = return_statistics(dataset, gamma)
    config.check_returns(dataset.mc_returns(gamma)[0], scale)
    units = {"statistics": observation_statistics(dataset), "scale": scale}

    def make(key):
        return make_critic(config, **sizes, key=key, **units)

    return make


def critic_keys(config: Config) -> Key[Array, " 2"]:
    """The keys of a critic's first weights and of its training."""
    return jax.random.split(phase_key(2, config.critic.seed))


def fit_multitask(run: Run, source: Source, tasks: Sequence[Task], policy: Trained[FlowPolicy], config: Config) -> None:
    """Phase 2 for several tasks of a dataset, on one encoder; held-out metrics have one number per task."""
    gamma, h = tasks[0].gamma, config.policy.chunk_length
    splits = {name: [load_dataset(source, task, name) for task in tasks] for name in ("train", "val")}
    datasets = splits["train"]
    sizes = {"obs_size": datasets[0].obs.shape[1], "chunk_size": policy.model.chunk_size}
    init_key, train_key = critic_keys(config)
    scales = jax.tree.map(lambda *each: jnp.stack(each), *(return_statistics(dataset, gamma) for dataset in datasets))
    units = {"statistics": observation_statistics(datasets[0]), "scales": scales}
    model = initialised(lambda key: make_multitask_flow(config.critic, **sizes, key=key, **units), init_key)
    both = tuple(_critic_windows(of_tasks(group), name, gamma, policy, config) for name, group in splits.items())
    held_out = [
        HeldOut.of(validation, gamma, h, bounds=task.return_bounds)
        for task, validation in zip(tasks, splits["val"], strict=True)
    ]

    def measure(critic):
        rows = [each(critic.task(index)) for index, each in enumerate(held_out)]
        return {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}

    options = {"key": train_key, "measure": measure, "num_devices": config.num_devices}
    options["facts"] = {"policy_sha256": policy.run.digest()}
    fit_in_run(run, model, both, config.critic.train, sizes, **options)


def load_multitask(run: Run, num_tasks: int, config: CriticConfig) -> MultiTaskFlow:
    """The model that `fit_multitask` trained in a finished run. Raises UserError if it is not there."""
    sizes, scales = run.manifest["sizes"], ReturnScale(*(jnp.zeros(num_tasks) for _ in range(4)))

    def like():
        model = make_multitask_flow(config, **sizes, scales=scales, key=jax.random.key(0))
        return init_state(model, config.train)

    return moving_average(run, like)


def _critic_windows(
    dataset: OfflineDataset, split: str, gamma: float, policy: Trained[FlowPolicy], config: Config
) -> Windows | HostWindows:
    """The n-step windows of a split with the policy's action bank, which lies in the policy's run folder."""
    if not config.critic.num_bank_draws:
        return critic_windows(dataset, gamma, config, None)
    bank = ensure_bank(policy, dataset.obs, split, config.critic)
    return critic_windows(dataset, gamma, config, np.moveaxis(bank, 1, 0))


def critic_windows(
    dataset: OfflineDataset, gamma: float, config: Config, bank: Float[np.ndarray, "*seeds draws rows chunk"] | None
) -> Windows | HostWindows:
    """The n-step windows of a split with draws of base policies as next chunks."""
    sizes = {"chunk_length": config.policy.chunk_length, "num_steps": config.critic.n_step}
    return dataset.windows(gamma=gamma, **sizes, bank=bank, choose=draw_choice(config.critic))
