"""What is checked of files that somebody brings along as a dataset of OGBench (`--data.folder`), before training."""

import functools
from pathlib import Path

import numpy as np

from evor_eqx.envs.dataset_names import DATASETS, parse_dataset
from evor_eqx.envs.generator import global_generator_kept
from evor_eqx.envs.tasks import OgbenchTask
from evor_eqx.errors import UserError

NEEDED = ("observations", "actions", "terminals")
_BOUND = 1.0 + 1e-5  # of an action's coordinates


def check_file(file: Path, dataset: str) -> None:
    """Raise UserError, with the file, the array, the row and the value, for rows that are not of the dataset.

    **Arguments:**

    - `file`: a file in OGBench's usual layout, one row for each step.
    - `dataset`: the dataset's name.
    """
    _check_name(file, dataset)
    try:
        with np.load(file, allow_pickle=False) as stored:
            names = stored.files
            arrays = {name: stored[name] for name in names if name in NEEDED}
    except ValueError as error:  # arrays of objects
        raise _refused(file, f"an array that cannot be read as numbers ({error})", "arrays of numbers") from None
    if "timeouts" in names:
        raise _refused(
            file,
            "timeouts, which mark where recordings were cut as D4RL has them",
            "terminals 1 at the last step of each episode, as OGBench has them; or bring the data as your own "
            "(custom_task)",
        )
    if missing := [name for name in NEEDED if name not in names]:
        raise _refused(file, f"no {' and no '.join(missing)}", ", ".join(NEEDED))
    for name, size in zip(("observations", "actions"), _sizes(dataset), strict=True):
        _check_rows(file, name, arrays[name], size, dataset)
    if len({len(array) for array in arrays.values()}) > 1 or len(arrays["terminals"]) == 0:
        counts = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise _refused(file, f"rows: {counts}", "the same number for all, at least one")
    outside = np.abs(arrays["actions"]) > _BOUND
    if outside.any():
        row, coordinate = np.argwhere(outside)[0]
        raise _refused(
            file,
            f"the action {arrays['actions'][row, coordinate]:g} in row {row}, coordinate {coordinate}",
            "-1 to 1, because the environment clips to these bounds; clip the actions, if it did so when they were "
            "recorded",
        )


def _check_name(file: Path, dataset: str) -> None:
    environment = parse_dataset(dataset).environment
    others = {parse_dataset(name).environment for name in DATASETS} - {environment}
    named = [other for other in others if file.name.startswith(f"{other}-")]
    if named and not file.name.startswith(f"{environment}-"):
        raise _refused(file, f"a file of {max(named, key=len)} by its name", f"files of {environment}")


def _check_rows(file: Path, name: str, array: np.ndarray, size: int, dataset: str) -> None:
    if array.dtype.kind not in "biuf" or array.ndim != 2 or array.shape[1] != size:
        raise _refused(file, f"{name} of type {array.dtype} and shape {array.shape}", f"[rows, {size}] for {dataset}")
    if not np.isfinite(array).all():
        row, coordinate = np.argwhere(~np.isfinite(array))[0]
        raise _refused(
            file, f"{array[row, coordinate]} in {name}, row {row}, coordinate {coordinate}", "finite numbers everywhere"
        )


@functools.cache
def _sizes(dataset: str) -> tuple[int, int]:
    """The sizes of observations and actions of a dataset's environment."""
    with global_generator_kept():
        env = OgbenchTask(dataset, 1).make_env()
    sizes = env.observation_space.shape, env.action_space.shape
    env.close()
    return sizes[0][0], sizes[1][0]  # pyright: ignore[reportOptionalSubscript]


def _refused(file: Path, got: str, expected: str) -> UserError:
    return UserError(f"{file}: got {got}, expected {expected}; mend the file, or leave it out of the folder")
