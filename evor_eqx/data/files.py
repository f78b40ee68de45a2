"""Own data from files: NPZ, HDF5 and Parquet, one file or a folder of them.

A file holds arrays with the names of `data.arrays`; others in it are left alone. HDF5 files of D4RL and NPZ files of
OGBench's tasks are such files. A Parquet file has a column for each array; a vector is a list. LeRobot's columns are
understood: an episode ends where `episode_index` changes, and the task ended where `next.success` is true at its end.
"""

import importlib
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evor_eqx.data.arrays import NAMES, rows_from_arrays
from evor_eqx.errors import UserError

if TYPE_CHECKING:
    from evor_eqx.data.arrays import Rows

_LEROBOT = {"observation.state": "observations", "action": "actions", "next.reward": "rewards"}


def rows_from_files(path: Path, validation: bool = False) -> "tuple[Rows, tuple[tuple[int, str], ...]]":
    """The rows of a file, or of all files in a folder, in the order of their names.

    **Arguments:**

    - `path`: the file or the folder. Hidden files and files of other kinds are left out.
    - `validation`: of a folder, the files whose names end in `-val`, else those whose names do not.

    **Returns:**

    The rows, and the first row of each file with its name.

    **Raises:**

    UserError that names the file if there is none, if it cannot be read, or if its arrays are no dataset. Also if the
    files of a folder have observations or actions of different sizes.
    """
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix in READERS and not file.name.startswith("."))
        files = [file for file in found if file.stem.endswith("-val") == validation]
    else:
        found = files = [path] if path.is_file() else []
    if not found:
        raise UserError(
            f"no data at {path}: got {'a folder without any' if path.is_dir() else 'no such file'}, expected files of "
            f"the kinds {', '.join(READERS)} that are not hidden; check the name"
        )
    if not files:
        expected = "some whose names end in -val" if validation else "some whose names do not end in -val"
        raise UserError(
            f"no {'validation' if validation else 'training'} data in {path}: got {found[0].name} and {len(found) - 1} "
            f"others, expected {expected}; rename files, or give validation={not validation}"
        )
    parts = [_read(file) for file in files]
    for file, part in zip(files, parts, strict=True):
        sizes, first = (part.obs.shape[1], part.act.shape[1]), (parts[0].obs.shape[1], parts[0].act.shape[1])
        if sizes != first:
            raise UserError(
                f"{file}: got observations and actions of sizes {sizes}, expected {first} as in {files[0].name}; keep "
                "the files of each environment in a folder of their own"
            )
    starts = np.cumsum([0, *(len(part.obs) for part in parts[:-1])]).tolist()
    joined = parts[0]._replace(
        last_row=np.concatenate([start + part.last_row for start, part in zip(starts, parts, strict=True)]),
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("obs", "act", "reward", "mask", "ended", "given_row")
        },
    )
    return joined, tuple(zip(starts, (file.name for file in files), strict=True))


def _read(file: Path) -> "Rows":
    if file.suffix not in READERS:
        raise UserError(f"{file}: got a file of kind {file.suffix!r}, expected one of {', '.join(READERS)}; convert it")
    try:
        arrays = READERS[file.suffix](file)
    except (UserError, PermissionError):  # none of these says that the file is bad
        raise
    except MemoryError as error:
        raise UserError(f"{file}: got arrays that do not fit into memory ({error}); split the file") from None
    except Exception as error:  # of three libraries, each with its own for a damaged file
        raise UserError(
            f"{file}: got {type(error).__name__} ({error}), expected arrays that can be read; write or fetch it again"
        ) from error
    try:
        return rows_from_arrays(arrays)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None


def _npz(file: Path) -> Mapping[str, np.ndarray]:
    if not zipfile.is_zipfile(file):
        raise UserError(f"{file}: got no NPZ file, expected one that np.savez wrote; write or fetch it again")
    with np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in _known(arrays.files)}


def _hdf5(file: Path) -> Mapping[str, np.ndarray]:
    h5py = _imported("h5py", "minari", file)
    with h5py.File(file, "r") as arrays:
        return {name: arrays[name][()] for name in _known(arrays.keys())}


def _parquet(file: Path) -> Mapping[str, Any]:
    table: Any = _imported("pyarrow.parquet", "parquet", file).read_table(file)
    names: list[str] = table.column_names
    columns = {_LEROBOT.get(name, name): table[name] for name in names}
    arrays = {name: columns[name].to_pylist() for name in _known(columns)}
    if "episode_index" in columns and not {"timeouts", "masks", "valids"} & set(arrays):
        episode = np.array(columns["episode_index"].to_pylist())
        is_last = np.append(episode[1:] != episode[:-1], True)
        success = np.array(columns["next.success"].to_pylist()) if "next.success" in columns else np.zeros(len(episode))
        arrays["terminals"] = is_last & (success.reshape(-1) > 0)
        arrays["timeouts"] = is_last & ~arrays["terminals"]
    return arrays


def _known(names: Iterable[str]) -> list[str]:
    return [name for name in names if name in NAMES]


def _imported(module: str, extra: str, file: Path) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(
            f"{file}: got no package {module.partition('.')[0]}, expected it for such a file; "
            f"pip install 'evor_eqx[{extra}]'"
        ) from None


READERS: dict[str, Callable[[Path], Mapping[str, Any]]] = {
    ".npz": _npz,
    ".hdf5": _hdf5,
    ".h5": _hdf5,
    ".parquet": _parquet,
}
