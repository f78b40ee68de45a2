"""The way of the data, each station made once: dataset -> base policy -> critic -> evaluation.

Every `ensure_...` looks for its run folder, resumes what a kill left unfinished, trains what is missing and returns
what is there. The command line, the notebooks and the figures all come through here.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from evor_eqx import inference, train
from evor_eqx.bank import action_bank
from evor_eqx.build import make_critic, make_policy, observation_statistics, return_statistics
from evor_eqx.compare import HeldOut
from evor_eqx.compilation import keep_compiled
from evor_eqx.config import Config, CriticConfig, NetworkConfig, PolicyConfig, Setting, TrainConfig
from evor_eqx.critics.abstract import AbstractCritic
from evor_eqx.critics.categorical import check_support
from evor_eqx.data.dataset import DEVICE_BYTES, HostWindows, OfflineDataset, Windows
from evor_eqx.data.source import Source, Split, find_or_make, load_arrays
from evor_eqx.envs import open_envs
from evor_eqx.errors import UserError
from evor_eqx.evaluate import Actor, Episode, run_episodes
from evor_eqx.policy import FlowPolicy
from evor_eqx.progress import bar
from evor_eqx.runs import Run, read_lines, write_lines
from evor_eqx.stats import Interval, wilson_interval
from evor_eqx.tasks import GENERATED, Task, dataset_name, make_env

keep_compiled()

Model = TypeVar("Model", bound=eqx.Module)


@dataclass(frozen=True)
class Result:
    """The episodes of one setting."""

    setting: Setting
    episodes: list[Episode]

    @property
    def success(self) -> Interval:
        """Success rate with Wilson's 95 % interval."""
        return wilson_interval(sum(episode.success for episode in self.episodes), len(self.episodes))


@dataclass(frozen=True)
class Trained(Generic[Model]):
    """A model with the run folder that it came from."""

    model: Model
    run: Run


def ensure_source(dataset: str, config: Config) -> Source:
    """The dataset's files: found, or generated; what cannot be generated has the published number of episodes."""
    name = dataset_name(dataset)
    num_episodes = config.data.num_episodes if name in GENERATED else None
    return find_or_make(name, num_episodes=num_episodes, seed=config.data.seed)


def load_dataset(source: Source, task: Task | None, split: Split) -> OfflineDataset:
    """The "train" or "val" rows of a source, with the task's reward and mask if a task is given.

    Rows that take more than the device should hold are memory-mapped from files beside the source.
    """
    dataset = OfflineDataset.from_arrays(load_arrays(source, task, split))
    return dataset if dataset.num_bytes <= DEVICE_BYTES else dataset.mapped(source.path.with_suffix(".rows") / split)


def ensure_policy(dataset: str, config: Config) -> Trained[FlowPolicy]:
    """Phase 1: the base policy of a dataset, shared by all of its tasks."""
    source = ensure_source(dataset, config)
    run = Run.open(
        source.dataset,
        "policy",
        {**_data_identity(source), "policy": asdict(config.policy), "seed": config.policy.seed},
    )
    if not run.complete:
        _train_policy(run, source, config)
    return load_policy(run)


def ensure_critic(task: Task, config: Config) -> Trained[AbstractCritic]:
    """Phase 2: the reward-to-go critic of a task, on the dataset and base policy that the configuration names."""
    source = ensure_source(task.dataset, config)
    policy = ensure_policy(task.dataset, config)
    run = Run.open(
        task.name,
        f"critic-{config.critic.label}",
        {
            **_data_identity(source),
            "task": task.name,
            "data_reward_timing": "pre",  # OGBench relabels data by s in all versions; rollouts say their own timing
            "gamma": task.gamma,
            "critic": asdict(config.critic),
            "policy_run": policy.run.name,
            "num_flow_steps": config.num_flow_steps,
            "seed": config.critic.seed,
        },
    )
    if not run.complete:
        _train_critic(run, source, task, policy, config)
    return load_critic(run)


def ensure_evaluation(task: Task, config: Config, settings: Sequence[Setting]) -> list[Result]:
    """Phase 3: rollouts of the task's agent, one result per setting, in their order and on the same episodes."""
    policy, critic = ensure_policy(task.dataset, config), ensure_critic(task, config)
    num_steps = jnp.asarray(config.num_flow_steps)

    def actor(obs, keys, num_candidates, num_returns, tau_r, tau_q):
        models, counts = (policy.model, critic.model), (jnp.asarray(num_candidates), num_returns)
        num_drawn = inference.capacity(num_candidates)
        return inference.act(*models, jnp.asarray(obs), keys, *counts, tau_r, tau_q, num_steps, num_drawn)

    return _ensure_episodes(critic.run, actor, task, config, settings)


def ensure_base_evaluation(task: Task, config: Config) -> Result:
    """Rollouts of the base policy alone (N_pi = 1), which need no critic; kept in the base policy's run."""
    policy = ensure_policy(task.dataset, config)

    def actor(obs, keys, num_candidates, num_returns, tau_r, tau_q):
        return inference.act_base(policy.model, jnp.asarray(obs), keys, jnp.asarray(config.num_flow_steps))

    return _ensure_episodes(policy.run, actor, task, config, [replace(config.setting, num_candidates=1)])[0]


def load_policy(run: Run) -> Trained[FlowPolicy]:
    """The base policy of a finished run."""
    config = PolicyConfig(**_nested(run.config["policy"]))
    sizes = run.manifest["sizes"]
    return Trained(
        moving_average(run, train.init_state(make_policy(config, **sizes, key=jax.random.key(0)), config.train)), run
    )


def load_critic(run: Run) -> Trained[AbstractCritic]:
    """The critic of a finished run."""
    config = CriticConfig(**_nested(run.config["critic"]))
    sizes = run.manifest["sizes"]
    return Trained(
        moving_average(run, train.init_state(make_critic(config, **sizes, key=jax.random.key(0)), config.train)), run
    )


def fit_in_run(
    run: Run,
    model: train.Trainable,
    samplers: tuple[train.Sampler, train.Sampler],
    config: TrainConfig,
    sizes: dict[str, int],
    **options: Any,
) -> None:
    """`train.fit` in a run folder, with a progress bar; `sizes` is what rebuilding the model needs besides its config.

    `samplers` are those of training and validation; `options` are the key and what else `train.fit` takes by name.
    """
    run.begin()
    with bar(config.num_updates, run.name, "update") as progress:
        train.fit(model, *samplers, config, run, on_block=lambda step: progress.update(step - progress.n), **options)
    run.finish(sizes=sizes, updates_per_second=run.updates_per_second())


def moving_average(run: Run, like: train.TrainState) -> Any:
    """The model of a finished run; UserError if its checkpoint is gone."""
    state = run.read(like)
    if state is None:
        raise UserError(f"no checkpoint in {run.path}, though the run is complete: delete the folder to train it again")
    return state.target


def _ensure_episodes(run: Run, actor: Actor, task: Task, config: Config, settings: Sequence[Setting]) -> list[Result]:
    """Run the episodes that the run folder does not hold yet; what is done is saved after every N_pi."""
    conditions = f"{task.reward_timing}-{config.num_flow_steps}steps-ogbench{version('ogbench')}"
    path = run.path / "results" / f"{task.name}-{conditions}.jsonl"
    seeds = range(config.evaluation.seed, config.evaluation.seed + config.evaluation.num_episodes)
    known = {(e.setting, e.seed): e for e in map(Episode.from_row, read_lines(path))}
    missing = [s for s in settings if any((s, seed) not in known for seed in seeds)]
    if missing:
        make = functools.partial(make_env, task)
        with open_envs(make, horizon=config.policy.chunk_length, num_envs=config.evaluation.num_envs) as envs:
            for _, group in itertools.groupby(sorted(missing, key=_counts), key=_counts):
                rollout = run_episodes(envs, actor, list(group), seeds, reward_timing=task.reward_timing)
                known |= {(e.setting, e.seed): e for e in rollout.episodes}
                write_lines(path, [e.to_row() for e in known.values()])
    return [Result(setting, [known[setting, seed] for seed in seeds]) for setting in settings]


def _counts(setting: Setting) -> tuple[int, int]:
    return setting.num_candidates, setting.num_returns


def _train_policy(run: Run, source: Source, config: Config) -> None:
    dataset = load_dataset(source, None, "train")
    validation = load_dataset(source, None, "val")
    h = config.policy.chunk_length
    sizes = {"obs_size": dataset.obs.shape[1], "chunk_size": dataset.act.shape[1] * h}
    init_key, train_key = jax.random.split(_phase_key(1, config.policy.seed))
    model = make_policy(config.policy, **sizes, key=init_key, normalise=observation_statistics(dataset))

    train_windows, val_windows = (split.windows(gamma=1.0, chunk_length=h) for split in (dataset, validation))
    fit_in_run(run, model, (train_windows, val_windows), config.policy.train, sizes, key=train_key)


def _train_critic(run: Run, source: Source, task: Task, policy: Trained[FlowPolicy], config: Config) -> None:
    dataset = load_dataset(source, task, "train")
    validation = load_dataset(source, task, "val")
    sizes = {"obs_size": dataset.obs.shape[1], "chunk_size": policy.model.chunk_size}
    init_key, train_key = jax.random.split(_phase_key(2, config.critic.seed))
    scale = return_statistics(dataset, task.gamma)
    if config.critic.kind in ("c51", "hl_gauss"):
        check_support(dataset.mc_returns(task.gamma)[0], float(scale.low), float(scale.high))
    model = make_critic(
        config.critic,
        **sizes,
        key=init_key,
        normalise=observation_statistics(dataset),
        scale=scale,
    )

    def windows(split: OfflineDataset, name: Split) -> Windows | HostWindows:
        bank = _next_chunks(policy, split, name, config) if config.critic.num_bank_draws else None
        return split.windows(
            gamma=task.gamma, chunk_length=config.policy.chunk_length, num_steps=config.critic.n_step, bank=bank
        )

    both = windows(dataset, "train"), windows(validation, "val")
    judge = HeldOut.of(validation, task.gamma, config.policy.chunk_length)
    fit_in_run(run, model, both, config.critic.train, sizes, key=train_key, measure=judge)


def _next_chunks(policy: Trained[FlowPolicy], dataset: OfflineDataset, split: Split, config: Config) -> np.ndarray:
    """The policy's bank of a split, as [draws, rows, chunk]; kept in the policy's run folder for all its critics."""
    num_draws, num_steps = config.critic.num_bank_draws, config.num_flow_steps
    path = policy.run.path / "bank" / f"{split}-{num_draws}draws-{num_steps}steps.npy"
    key = jax.random.fold_in(_phase_key(3, policy.run.config["seed"]), split == "val")
    return np.moveaxis(action_bank(policy.model, dataset.obs, num_draws, num_steps, path, key=key), 1, 0)


def _phase_key(phase: int, seed: int) -> jax.Array:
    """Phases of the same seed share no random number."""
    return jax.random.fold_in(jax.random.key(seed), phase)


def _data_identity(source: Source) -> dict[str, Any]:
    return {"dataset": source.dataset, "origin": source.origin, "fingerprint": source.fingerprint}


def _nested(record: dict[str, Any]) -> dict[str, Any]:
    """The dataclasses inside a phase's configuration, back from JSON."""
    return {**record, "network": NetworkConfig(**record["network"]), "train": TrainConfig(**record["train"])}
