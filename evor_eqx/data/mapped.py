"""Datasets whose observations and actions are memory-mapped from files."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.errors import UserError
from evor_eqx.system.files import replacing


def mapped(parts: Iterable[OfflineDataset], folder: Path) -> OfflineDataset:
    """Join parts into one dataset whose observations and actions are memory-mapped from files in `folder`.

    If the files exist, each part is compared with them; else they are written. Only one part at a time is in memory,
    except for its rewards, masks and episodes' ends.

    **Raises:** UserError if the files hold other rows.
    """
    files = {name: folder / f"{name}.float32" for name in ("obs", "act")}
    small: dict[str, list[np.ndarray]] = {"reward": [], "mask": [], "last_row": []}
    num_rows, sizes = 0, {}
    for part in (_compared if all(map(Path.is_file, files.values())) else _written)(parts, files):
        small["reward"].append(part.reward)
        small["mask"].append(part.mask)
        small["last_row"].append(num_rows + part.last_row)
        num_rows += len(part.obs)
        sizes = {name: getattr(part, name).shape[1] for name in files}
    maps = {name: np.memmap(file, np.float32, "r", shape=(num_rows, sizes[name])) for name, file in files.items()}
    joined: dict[str, Any] = {name: np.concatenate(arrays, axis=-1) for name, arrays in small.items()}
    return OfflineDataset(**maps, **joined)


def _written(parts: Iterable[OfflineDataset], files: dict[str, Path]) -> Iterator[OfflineDataset]:
    """Yield the parts and append each one's fields to the files, which appear after the last part."""
    with contextlib.ExitStack() as stack:
        opened = {name: stack.enter_context(_replacing_bytes(file)) for name, file in files.items()}
        for part in parts:
            for name, file in opened.items():
                file.write(np.ascontiguousarray(getattr(part, name)).data)
            yield part


@contextlib.contextmanager
def _replacing_bytes(path: Path) -> Iterator[BinaryIO]:
    with replacing(path) as temporary, temporary.open("wb") as file:
        yield file


def _compared(parts: Iterable[OfflineDataset], files: dict[str, Path]) -> Iterator[OfflineDataset]:
    """Yield the parts. Raises UserError unless the files hold exactly their fields, part by part."""
    num_read = dict.fromkeys(files, 0)
    for part in parts:
        for name, file in files.items():
            values = getattr(part, name).ravel()
            there = np.fromfile(file, np.float32, values.size, offset=4 * num_read[name])
            _expect_rows(np.array_equal(there, values, equal_nan=True), file)
            num_read[name] += values.size
        yield part
    for name, file in files.items():
        _expect_rows(file.stat().st_size == 4 * num_read[name], file)


def _expect_rows(are_there: bool, file: Path) -> None:
    if not are_there:
        raise UserError(f"damaged file {file}: expected the dataset's rows; delete it, and it is made again")
