"""A dataset's episodes and pieces, the rewards of several tasks in one dataset, and a digest of all rows."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

if TYPE_CHECKING:
    from evor_eqx.data.dataset import OfflineDataset


def first_rows(dataset: "OfflineDataset") -> Int[np.ndarray, " episodes"]:
    """The row that each episode begins with."""
    return np.append(0, np.unique(dataset.last_row)[:-1] + 1)


def cut(dataset: "OfflineDataset", num_rows: int) -> "list[OfflineDataset]":
    """Pieces of about `num_rows` rows, cut between episodes."""
    ends = np.unique(dataset.last_row) + 1
    cuts = ends[np.flatnonzero(np.diff(ends // num_rows, append=-1))].tolist()  # the last end in each stretch
    return [part(dataset, *ends) for ends in itertools.pairwise([0, *cuts])] if len(cuts) > 1 else [dataset]


def part(dataset: "OfflineDataset", first: int, end: int) -> "OfflineDataset":
    """The rows from `first` up to, but without, `end`; both are where episodes begin."""
    rows = slice(first, end)
    return replace(
        dataset,
        obs=dataset.obs[rows],
        act=dataset.act[rows],
        reward=dataset.reward[..., rows],
        mask=dataset.mask[..., rows],
        last_row=dataset.last_row[rows] - first,
        ended=None if dataset.ended is None else dataset.ended[rows],
        given_row=None if dataset.given_row is None else dataset.given_row[rows],
    )


def of_tasks(datasets: "Sequence[OfflineDataset]") -> "OfflineDataset":
    """Join the same rows under several tasks' rewards into one dataset, with a leading axis of tasks."""
    reward, mask = (np.stack([getattr(each, name) for each in datasets]) for name in ("reward", "mask"))
    return replace(datasets[0], reward=reward, mask=mask)


def digest(dataset: "OfflineDataset") -> str:
    """SHA-256 of all rows, hexadecimal."""
    whole = hashlib.sha256()
    for array in (dataset.obs, dataset.act, dataset.reward, dataset.mask, dataset.last_row, dataset.ended):
        if array is not None:
            whole.update(f"{array.dtype}{array.shape}".encode())
            whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()
