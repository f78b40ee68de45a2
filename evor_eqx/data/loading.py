"""The rows of a dataset, read from its files and given a task's rewards."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evor_eqx.data.dataset import DEVICE_BYTES, OfflineDataset
from evor_eqx.data.sources import Source, Split, _check_size
from evor_eqx.envs.ogbench import make_env, sparse_reward
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError
from evor_eqx.system import paths
from evor_eqx.system.locks import lease


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


_KEYS = ("observations", "actions", "terminals", "valids", "rewards", "masks", "qpos", "qvel", "button_states")


def load_arrays(source: Source, task: Task | None, split: Split) -> dict[str, np.ndarray]:
    """All rows of one split in OGBench's compact layout, read and rewarded by OGBench's own code.

    Keys: observations, actions, terminals, valids (0 at an episode's last row), the physics (qpos, qvel and, where
    there are buttons, button_states), and with a task rewards and masks (0 where the task is solved), both read from
    the row's own state. Raises UserError for a wrong or damaged
    file, or a task of another dataset.
    """
    parts = list(load_parts(source, task, split))
    return parts[0] if len(parts) == 1 else {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def load_parts(source: Source, task: Task | None, split: Split) -> Iterator[dict[str, np.ndarray]]:
    """What `load_arrays` returns, file by file: one at a time is in memory."""
    if task is not None and task.dataset != source.dataset:
        raise UserError(f"task {task.name} is not one of {source.dataset}: expected a task of the same dataset")
    for file in source.files(split):
        _check_size(file, source.details)
        arrays = _read(file)
        if task is not None:
            _add_rewards(arrays, task)
        yield {key: arrays[key] for key in _KEYS if key in arrays}


def _read(file: Path) -> dict[str, np.ndarray]:
    from ogbench.utils import load_dataset

    try:
        arrays = load_dataset(str(file), compact_dataset=True, add_info=True)
    except FileNotFoundError:
        raise UserError(f"no file {file}: expected an OGBench dataset; make it again with `evor data`") from None
    except (OSError, ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"damaged file {file}: expected an OGBench dataset ({error}); delete it and make it again"
        ) from error
    rows = {key: len(array) for key, array in arrays.items()}
    if "qpos" not in rows or len(set(rows.values())) != 1 or arrays["valids"][-1] != 0:
        raise UserError(f"wrong file {file}: expected qpos, equal rows and a whole last episode, got rows {rows}")
    return arrays


def _add_rewards(arrays: dict[str, np.ndarray], task: Task) -> None:
    from ogbench.relabel_utils import relabel_dataset

    env = make_env(task)
    relabel_dataset(task.env_id, env, arrays)
    env.close()
    if task.reward == "sparse":
        arrays["rewards"] = sparse_reward(arrays["rewards"]).astype(np.float32)
