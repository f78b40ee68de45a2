"""Read the rows of a dataset from its files and add a task's rewards."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evor_eqx.data.custom import CustomTask, OwnRows
from evor_eqx.data.dataset import DEVICE_BYTES, OfflineDataset
from evor_eqx.data.description import Description, describe_splits
from evor_eqx.data.file_checks import check_file
from evor_eqx.data.manifests import check_size
from evor_eqx.data.mapped import mapped
from evor_eqx.data.sources import Source, Split, find_or_make
from evor_eqx.envs.generator import global_generator_kept
from evor_eqx.envs.ogbench import maze_layout, sparse_reward
from evor_eqx.envs.tasks import OgbenchTask, Task, is_task, parse_task
from evor_eqx.errors import UserError
from evor_eqx.system import own_files, paths
from evor_eqx.system.locks import lock


def load_dataset(source: Source, task: Task | None, split: Split) -> OfflineDataset:
    """The rows of a split as an `OfflineDataset`. Its actions are in [-1, 1], as models see them.

    Rows are memory-mapped from files in the data folder if they come from many files or are too large for the device.

    **Arguments:**

    - `source`: the files, or the rows of an own task, which have its rewards already.
    - `task`: the task that gives rewards and masks; None: rewards are 0 and masks are 1.
    - `split`: train or val.

    **Raises:** UserError as `load_arrays` does.
    """
    if isinstance(source, OwnRows):
        return source.rows[split]
    parts = map(OfflineDataset.from_compact, load_parts(source, task, split))
    folder = paths.data_dir() / f"{source.dataset}-{source.fingerprint}.rows" / split
    if len(source.files(split)) == 1:
        (dataset,) = parts
        if dataset.num_bytes <= DEVICE_BYTES:
            return dataset
        parts = [dataset]
    with lock(folder):
        return mapped(parts, folder)


def describe(
    data: Task | OfflineDataset | str | Path, *, num_episodes: int | None = None, seed: int = 0
) -> Description:
    """What data hold, as a table: episodes, steps, ends, returns, the ranges of actions and rewards; speed in a maze.

    `print` shows it as text, and a notebook as HTML. With a discount, which a task has, the table also says how many
    steps have a known return. Only these can be compared with a critic's predictions.

    **Arguments:**

    - `data`: a task or its name, a dataset of OGBench by its name (it has no rewards), a file or a folder of your own
      data, or an `OfflineDataset`.
    - `num_episodes`, `seed`: which data of OGBench, as in the configuration's `data`. Missing ones are generated.

    **Raises:** UserError for an unknown name, and for files that cannot be read.
    """
    if isinstance(data, OfflineDataset):
        return describe_splits({"all rows": data}, "dataset", {})
    name = data.name if isinstance(data, Task) else str(data)
    if not isinstance(data, Task) and Path(name).exists() and not own_files.is_own(name):
        return describe_splits({"all rows": OfflineDataset.from_file(name)}, Path(name).name, {})
    task = data if isinstance(data, Task) else parse_task(name)
    if isinstance(task, CustomTask):
        return task.describe()
    rewarded = task if is_task(name) else None
    source = find_or_make(task.dataset, num_episodes=num_episodes, seed=seed)
    splits = {"training": load_dataset(source, rewarded, "train"), "validation": load_dataset(source, rewarded, "val")}
    layout = maze_layout(task) if task.is_maze else None
    if rewarded is None:
        return describe_splits(splits, source.dataset, {}, layout=layout)
    return describe_splits(splits, task.short_name, {}, task.gamma, layout)


_KEYS = ("observations", "actions", "terminals", "valids", "rewards", "masks", "qpos", "qvel", "button_states")


def load_arrays(source: Source, task: Task | None, split: Split) -> dict[str, np.ndarray]:
    """All rows of a split in OGBench's compact layout, read and rewarded by OGBench's own code.

    **Returns:** a record of arrays:

    - `observations`, `actions`, `terminals`.
    - `valids`: 0 at an episode's last row.
    - `qpos`, `qvel` and, where there are buttons, `button_states`: the state of the physics.
    - `rewards` and `masks` (0 where the task is solved), if a task is given. Both are read from the row's own state.

    **Raises:** UserError for a wrong or damaged file, or a task of another dataset.
    """
    parts = list(load_parts(source, task, split))
    return parts[0] if len(parts) == 1 else {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def load_parts(source: Source, task: Task | None, split: Split) -> Iterator[dict[str, np.ndarray]]:
    """What `load_arrays` returns, file by file. Only one file at a time is in memory."""
    if task is not None and task.dataset != source.dataset:
        raise UserError(
            f"task {task.name} does not belong to {source.dataset}: expected a task of that dataset; give one of them"
        )
    for file in source.files(split):
        check_size(file, source.details)
        arrays = _read(file, source.dataset if source.origin == "folder" else None)
        if isinstance(task, OgbenchTask):
            _add_rewards(arrays, task)
        yield {key: arrays[key] for key in _KEYS if key in arrays}


def _read(file: Path, brought_for: str | None) -> dict[str, np.ndarray]:
    """All arrays of a file. One that somebody brought along for a dataset is checked."""
    from ogbench.utils import load_dataset

    again = (
        "delete what is left of it and make it again with `evor data`"
        if brought_for is None
        else "copy it again from its source"
    )
    try:
        if brought_for is not None:
            check_file(file, brought_for)
        arrays = load_dataset(str(file), compact_dataset=True, add_info=True)
    except FileNotFoundError:
        raise UserError(f"no file {file}: expected an OGBench dataset; {again}") from None
    except UserError:  # which is a ValueError, too
        raise
    except (ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"damaged file {file}: got {error}, expected an OGBench dataset; {again}") from error
    rows = {key: len(array) for key, array in arrays.items()}
    if "qpos" not in rows or len(set(rows.values())) != 1 or arrays["valids"][-1] != 0:
        raise UserError(
            f"wrong file {file}: got rows {rows}, expected qpos, as many rows in each array, and a last row that ends "
            f"an episode; {again}"
        )
    return arrays


def _add_rewards(arrays: dict[str, np.ndarray], task: OgbenchTask) -> None:
    from ogbench.relabel_utils import relabel_dataset

    with global_generator_kept():  # a maze's reset draws from NumPy's
        env = task.make_env()
        relabel_dataset(task.env_id, env, arrays)
        env.close()
    if task.reward == "sparse":
        arrays["rewards"] = sparse_reward(arrays["rewards"]).astype(np.float32)
