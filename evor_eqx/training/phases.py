"""The training of phases 1 and 2, each in its run folder: from the rows of a dataset to a checkpoint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from evor_eqx.config import Config, TrainConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.categorical import check_support
from evor_eqx.critics.factory import (
    make_critic,
    make_policy,
    make_shared_critic,
    observation_statistics,
    return_statistics,
)
from evor_eqx.critics.multitask import of_task
from evor_eqx.data.dataset import DEVICE_BYTES, OfflineDataset, of_tasks
from evor_eqx.data.sources import SPLITS, Source, Split, load_parts
from evor_eqx.data.windows import HostWindows, Windows
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError
from evor_eqx.evaluation.held_out import HeldOut
from evor_eqx.policy import FlowPolicy
from evor_eqx.runs.run import Run
from evor_eqx.system import paths
from evor_eqx.system.locks import lease
from evor_eqx.system.progress import bar
from evor_eqx.system.signals import Stopped, held_signals
from evor_eqx.training import loop
from evor_eqx.training.action_bank import action_bank
from evor_eqx.training.compilation import initialised, keep_compiled
from evor_eqx.training.sharding import over_devices

keep_compiled()

Model = TypeVar("Model", bound=eqx.Module)


@dataclass(frozen=True)
class Trained(Generic[Model]):
    """A model with the run folder that it came from."""

    model: Model
    run: Run


def load_dataset(source: Source, task: Task | None, split: Split) -> OfflineDataset:
    """The "train" or "val" rows of a source, with the task's reward and mask if a task is given.

    Rows of many files, or that take more than the device should hold, are memory-mapped from files in the data folder.
    """
    parts = map(OfflineDataset.from_arrays, load_parts(source, task, split))
    folder = paths.data_dir() / f"{source.dataset}-{source.fingerprint}.rows" / split
    if len(source.files(split)) == 1:
        (dataset,) = parts
        if dataset.num_bytes <= DEVICE_BYTES:
            return dataset
        parts = [dataset]
    with lease(folder):
        return OfflineDataset.mapped(parts, folder)


def train_policy(run: Run, source: Source, config: Config, watch: loop.Watch = loop.unwatched) -> None:
    """Phase 1: behaviour cloning of the dataset's chunks."""
    dataset, validation = (load_dataset(source, None, split) for split in ("train", "val"))
    h = config.policy.chunk_length
    sizes = {"obs_size": dataset.obs.shape[1], "chunk_size": dataset.act.shape[1] * h}
    init_key, train_key = jax.random.split(_phase_key(1, config.policy.seed))
    statistics = observation_statistics(dataset)
    model = initialised(lambda key: make_policy(config.policy, **sizes, key=key, statistics=statistics), init_key)
    windows = tuple(split.windows(gamma=1.0, chunk_length=h) for split in (dataset, validation))
    options = {"key": train_key, "watch": watch, "num_devices": config.num_devices}
    fit_in_run(run, model, windows, config.policy.train, sizes, **options)


def train_critic(
    run: Run,
    source: Source,
    task: Task,
    policy: Trained[FlowPolicy],
    config: Config,
    watch: loop.Watch = loop.unwatched,
) -> None:
    """Phase 2: the critic of one task."""
    lesson = Lesson.of(source, task, policy, config)
    init_key, train_key = critic_keys(config)
    windows = [_critic_windows(split, name, task.gamma, policy, config) for name, split in lesson.splits.items()]
    options = {"key": train_key, "measure": lesson.judge, "watch": watch, "num_devices": config.num_devices}
    fit_in_run(run, initialised(lesson.make, init_key), windows, config.critic.train, lesson.sizes, **options)


@dataclass(frozen=True)
class Lesson:
    """What the critics of a task learn from, but for the draws of a base policy, and how they begin and are judged."""

    splits: dict[Split, OfflineDataset]
    sizes: dict[str, int]
    make: Callable[[Key[Array, ""]], AbstractCritic]  # an untrained critic
    judge: HeldOut

    @classmethod
    def of(cls, source: Source, task: Task, policy: Trained[FlowPolicy], config: Config) -> "Lesson":
        """Of a task; the policy gives its chunks' size. Raises UserError for returns off a histogram's support."""
        splits: dict[Split, OfflineDataset] = {name: load_dataset(source, task, name) for name in SPLITS}
        dataset, gamma = splits["train"], task.gamma
        sizes = {"obs_size": dataset.obs.shape[1], "chunk_size": policy.model.chunk_size}
        scale = return_statistics(dataset, gamma)
        if config.critic.kind in ("c51", "hl_gauss"):
            check_support(dataset.mc_returns(gamma)[0], float(scale.low), float(scale.high))
        units = {"statistics": observation_statistics(dataset), "scale": scale}

        def make(key):
            return make_critic(config.critic, **sizes, key=key, **units)

        return cls(splits, sizes, make, HeldOut.of(splits["val"], gamma, config.policy.chunk_length))


def critic_keys(config: Config) -> Key[Array, " 2"]:
    """The keys of a critic's first weights and of its training."""
    return jax.random.split(_phase_key(2, config.critic.seed))


def train_shared_critics(
    run: Run, source: Source, tasks: Sequence[Task], policy: Trained[FlowPolicy], config: Config
) -> None:
    """Phase 2 for several tasks of a dataset, on one encoder; what is logged has one number per task."""
    gamma, h = tasks[0].gamma, config.policy.chunk_length
    splits = {name: [load_dataset(source, task, name) for task in tasks] for name in ("train", "val")}
    datasets = splits["train"]
    sizes = {"obs_size": datasets[0].obs.shape[1], "chunk_size": policy.model.chunk_size}
    init_key, train_key = critic_keys(config)
    scales = jax.tree.map(lambda *each: jnp.stack(each), *(return_statistics(dataset, gamma) for dataset in datasets))
    units = {"statistics": observation_statistics(datasets[0]), "scales": scales}
    model = initialised(lambda key: make_shared_critic(config.critic, **sizes, key=key, **units), init_key)
    both = tuple(_critic_windows(of_tasks(group), name, gamma, policy, config) for name, group in splits.items())
    judges = [HeldOut.of(validation, gamma, h) for validation in splits["val"]]

    def measure(critic):
        rows = [judge(of_task(critic, index)) for index, judge in enumerate(judges)]
        return {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}

    options = {"key": train_key, "measure": measure, "num_devices": config.num_devices}
    fit_in_run(run, model, both, config.critic.train, sizes, **options)


def fit_in_run(
    run: Run,
    model: loop.Trainable,
    samplers: Sequence[loop.Sampler | loop.HostSampler],
    config: TrainConfig,
    sizes: dict[str, int],
    *,
    key: Key[Array, "*seeds"],
    watch: loop.Watch = loop.unwatched,
    num_devices: int = 1,
    **options: Any,
) -> None:
    """`train.fit` in a run folder, with a progress bar; `sizes` is what rebuilding the model needs besides its config.

    `samplers` are those of training and validation; `options` are what else `train.fit` takes by name. Batches, or
    seeds if `key` is a row, are spread over `num_devices`.
    The moving average at `config.snapshot_steps` is kept beside the checkpoint.
    SIGINT and SIGTERM stop it between two blocks by `Stopped`, with the state saved.
    """
    run.begin()
    sampler, val_sampler = samplers
    spread = {"num_seeds": len(key)} if key.ndim else {"batch_size": config.batch_size}
    with (
        over_devices(num_devices, **spread),
        held_signals() as held,
        bar(config.num_updates, run.name, "update") as progress,
    ):

        def watch_all(step, scalars, model):
            if step in config.snapshot_steps:
                run.save(model, step)
            progress.update(step - progress.n)
            watch(step, scalars, model)
            if held.signum is not None:
                raise Stopped(f"stopped, {run.name} is saved at {step} updates", held.signum)

        loop.fit(model, sampler, val_sampler, config, run, key=key, watch=watch_all, **options)
        run.finish(sizes=sizes, updates_per_second=run.updates_per_second(), num_devices=num_devices)


def moving_average(run: Run, like: Callable[[], loop.TrainState], step: int | None = None) -> Any:
    """The model of a finished run, or its snapshot after `step` updates, in the shapes of the state `like` would make.

    Raises UserError if it is not there.
    """
    shapes = eqx.filter_eval_shape(like)  # nothing is computed for it
    found = run.read(shapes if step is None else shapes.target, step)
    if found is None:
        what = "checkpoint" if step is None else f"snapshot after {step} updates"
        raise UserError(f"no {what} in {run.path}, though the run is complete: delete the folder to train it again")
    return found.target if step is None else found


def bank_path(policy_run: Run, split: str, config: Config) -> Path:
    """Where the base policy's draws at the rows of a split lie, for all critics that take as many."""
    name = f"{split}-{config.critic.num_bank_draws}draws-{config.num_flow_steps}steps.npy"
    return policy_run.path / "bank" / name


def ensure_bank(
    policy: Trained[FlowPolicy], obs: Float[np.ndarray, "rows obs"], split: str, config: Config
) -> Float[np.ndarray, "rows draws chunk"]:
    """The base policy's draws at the rows of a split, made once."""
    key = jax.random.fold_in(_phase_key(3, policy.run.config["seed"]), split == "val")
    counts = (config.critic.num_bank_draws, config.num_flow_steps)
    return action_bank(policy.model, obs, *counts, bank_path(policy.run, split, config), key=key)


def _critic_windows(
    dataset: OfflineDataset, split: str, gamma: float, policy: Trained[FlowPolicy], config: Config
) -> Windows | HostWindows:
    """The n-step windows of a split with the policy's bank, which lies in its run folder for all critics."""
    bank = np.moveaxis(ensure_bank(policy, dataset.obs, split, config), 1, 0) if config.critic.num_bank_draws else None
    return critic_windows(dataset, gamma, config, bank)


def critic_windows(
    dataset: OfflineDataset, gamma: float, config: Config, bank: Float[np.ndarray, "*seeds draws rows chunk"] | None
) -> Windows | HostWindows:
    """The n-step windows of a split with draws of base policies as next chunks."""
    sizes = {"chunk_length": config.policy.chunk_length, "num_steps": config.critic.n_step}
    return dataset.windows(gamma=gamma, **sizes, bank=bank, all_draws=config.critic.takes_best_draw)


def _phase_key(phase: int, seed: int) -> jax.Array:
    """Phases of the same seed share no random number."""
    return jax.random.fold_in(jax.random.key(seed), phase)
