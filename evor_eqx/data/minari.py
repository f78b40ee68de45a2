"""Datasets of Minari: episodes with the environment that they came from."""

import functools
import hashlib
import os
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evor_eqx.data.custom import CustomTask, custom_task
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.envs.checks import flat_box, parts_of
from evor_eqx.errors import UserError, told
from evor_eqx.system.code_identity import code_digest

if TYPE_CHECKING:
    import gymnasium

REFERENCES = ("ref_min_score", "ref_max_score")  # in a dataset's metadata: returns with the scores 0 and 100


def minari_task(
    dataset_id: str,
    *,
    gamma: float = 0.99,
    validation_share: float = 0.1,
    seed: int = 0,
    name: str | None = None,
    with_env: bool = True,
) -> CustomTask:
    """A Minari dataset as a task, with the environment that it names.

    The dataset must be on this machine, in `MINARI_DATASETS_PATH` or Minari's own folder (`minari download ID`).

    **Arguments:**

    - `dataset_id`: its id, e.g. mujoco/hopper/medium-v0.
    - `gamma`: the discount per step, in (0, 1).
    - `validation_share`: the share of episodes that are held out, in (0, 1).
    - `seed`: which episodes these are.
    - `name`: the task's name; by default the id with dashes.
    - `with_env`: whether to recover the environment. Without it there are no rollouts.

    **Raises:**

    UserError without the package minari, if the dataset is not there, for fewer than two episodes, for observations
    that are no vectors, and as `custom_task` does.
    """
    if not (isinstance(validation_share, Real) and 0 < validation_share < 1):
        raise UserError(f"validation_share: got {validation_share!r}, expected a share between 0 and 1, such as 0.1")
    if not (isinstance(seed, Integral) and seed >= 0):
        raise UserError(f"seed: got {seed!r}, expected a whole number of at least 0, such as 0")
    dataset = _load(dataset_id)
    for what, space in (("observation", dataset.observation_space), ("action", dataset.action_space)):
        flat_box(f"Minari's {dataset_id}: {what}", space)
    episodes = list(dataset.iterate_episodes())
    if len(episodes) < 2:
        raise UserError(
            f"Minari's {dataset_id}: got {len(episodes)} episodes, expected at least two, one of them to hold out; "
            "record more"
        )
    num_held_out = min(max(1, round(validation_share * len(episodes))), len(episodes) - 1)
    order = np.random.default_rng(seed).permutation(len(episodes))
    held_out = {int(index) for index in order[:num_held_out]}
    splits = [[e for index, e in enumerate(episodes) if (index in held_out) == is_val] for is_val in (False, True)]
    train, validation = (_dataset(split) for split in splits)
    make_env = functools.partial(_recover, dataset_id, os.environ.get("MINARI_DATASETS_PATH"))
    references = [dataset.storage.metadata.get(key) for key in REFERENCES]
    return custom_task(
        name or dataset_id.replace("/", "-"),
        train,
        validation,
        make_env=make_env if with_env else None,
        gamma=gamma,
        reference_returns=None if None in references else (float(references[0]), float(references[1])),
        version=_digest(dataset, make_env) if with_env else None,  # by what it is, not by the folder of the data
    )


def _minari() -> Any:
    try:
        import minari
    except ImportError:
        raise UserError(
            "Minari: got no package of this name, expected it for a Minari dataset; pip install 'evor_eqx[minari]'"
        ) from None
    return minari


def _load(dataset_id: str, folder: str | None = None) -> Any:
    """A dataset of Minari's folder, or of this one: a worker process may be told of no folder by its variables."""
    minari = _minari()
    try:
        return (
            minari.load_dataset(dataset_id)
            if folder is None
            else minari.MinariDataset(Path(folder, dataset_id, "data"))
        )
    except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
        there = ", ".join(sorted(minari.list_local_datasets())) or "none"
        raise UserError(
            f"Minari's dataset {dataset_id!r}: got {type(error).__name__} ({error}), expected one of those on this "
            f"machine ({there}); `minari download {dataset_id}` fetches it"
        ) from None


def _recover(dataset_id: str, folder: str | None, render_mode: str | None = None) -> "gymnasium.Env[Any, Any]":
    """The environment of a dataset, also in a worker process. It draws only if it can."""
    dataset = _load(dataset_id, folder)
    env = dataset.recover_environment()
    if render_mode not in env.metadata.get("render_modes", ()):
        return env
    env.close()
    return dataset.recover_environment(render_mode=render_mode)


def _digest(dataset: Any, make_env: Callable[[], "gymnasium.Env[Any, Any]"]) -> str:
    """What names the environment: how Minari makes it, and the code of what it is made of."""
    spec = dataset.env_spec
    with told(f"make_env of {dataset.id.replace('/', '-')}"):
        env = make_env()
    parts = code_digest(parts_of(env), f"environment of Minari's {dataset.id}")
    env.close()
    return hashlib.sha256(f"{'none' if spec is None else spec.to_json()} {parts}".encode()).hexdigest()[:12]


def _dataset(episodes: list[Any]) -> OfflineDataset:
    """Episodes with T + 1 observations for T actions, as one dataset."""
    joined = {
        "observations": np.concatenate([episode.observations[:-1] for episode in episodes]),
        "next_observations": np.concatenate([episode.observations[1:] for episode in episodes]),
        "actions": np.concatenate([episode.actions for episode in episodes]),
        "rewards": np.concatenate([episode.rewards for episode in episodes]),
        "terminals": np.concatenate([episode.terminations for episode in episodes]),
        "timeouts": np.concatenate([_cut(episode) for episode in episodes]),
    }
    return OfflineDataset.from_arrays(**joined)


def _cut(episode: Any) -> np.ndarray:
    """Where the recording was cut: at its end, unless the task ended there."""
    cut = np.zeros(len(episode.actions), bool)
    cut[-1] = not episode.terminations[-1]
    return cut
