"""A dataset as rows on the host.

A row is one state with the action taken there. An episode of L transitions has L + 1 rows (OGBench's compact
layout); its last row has no next state, so it starts no transition, but its state is bootstrapped from and its action
is a draw of the behaviour. Three flags are three different things: `mask` 0 says that the task ended here, done (a row
that is its episode's `last_row`) that the recording ends here, `valid` that a window lies inside one episode.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from evor_eqx.data.windows import HostWindows, Windows
from evor_eqx.errors import UserError
from evor_eqx.system.files import replacing

DEVICE_BYTES = 4 * 10**9  # windows that take more stay on the host
PIECE_ROWS = 4_000_000


@dataclass(frozen=True)
class OfflineDataset:
    """Rows on the host. `reward` and `mask` belong to the transition that starts at the row; see `of_tasks`."""

    obs: Float[np.ndarray, "rows obs"]
    act: Float[np.ndarray, "rows act"]
    reward: Float[np.ndarray, "*tasks rows"]
    mask: Float[np.ndarray, "*tasks rows"]
    last_row: Int[np.ndarray, " rows"]  # the last row of the row's episode

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "OfflineDataset":
        """From OGBench's compact layout: observations, actions, valids and, for a task, rewards and masks."""
        valids = np.asarray(arrays["valids"]) > 0
        if len(valids) == 0 or valids[-1]:
            raise UserError(
                "the dataset's last row must end an episode (valids = 0): the file is cut short; make it again"
            )
        ends = np.flatnonzero(~valids)
        return cls(
            obs=np.asarray(arrays["observations"], np.float32),
            act=np.asarray(arrays["actions"], np.float32),
            reward=np.asarray(arrays.get("rewards", np.zeros(len(valids))), np.float32),
            mask=np.asarray(arrays.get("masks", np.ones(len(valids))), np.float32),
            last_row=ends[np.searchsorted(ends, np.arange(len(valids)))].astype(np.int32),
        )

    @property
    def num_bytes(self) -> int:
        """Of all rows."""
        return sum(array.nbytes for array in (self.obs, self.act, self.reward, self.mask, self.last_row))

    @classmethod
    def mapped(cls, parts: Iterable["OfflineDataset"], folder: Path) -> "OfflineDataset":
        """The rows of all parts, one behind the other, with observations and actions memory-mapped from `folder`.

        They are written there or, if they are there already, compared with what lies there; only one part at a time is
        in memory, but for its rewards, masks and episodes' ends. Raises UserError if the files hold other rows.
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
        return cls(**maps, **{name: np.concatenate(arrays, axis=-1) for name, arrays in small.items()})

    @cached_property
    def transitions(self) -> Int[np.ndarray, " transitions"]:
        """Rows that start a transition: all but the last row of each episode."""
        return np.flatnonzero(np.arange(len(self.obs)) < self.last_row)

    @cached_property
    def pieces(self) -> list["OfflineDataset"]:
        """The dataset, cut between episodes if it has more than some four million rows.

        What is computed piece by piece needs little memory for what it leaves behind.
        """
        ends = np.unique(self.last_row) + 1
        cuts = ends[np.flatnonzero(np.diff(ends // PIECE_ROWS, append=-1))].tolist()  # the last end in each stretch
        return [self._part(first, end) for first, end in itertools.pairwise([0, *cuts])] if len(cuts) > 1 else [self]

    def _part(self, first: int, end: int) -> "OfflineDataset":
        rows = slice(first, end)
        scalars = {
            "reward": self.reward[..., rows],
            "mask": self.mask[..., rows],
            "last_row": self.last_row[rows] - first,
        }
        return OfflineDataset(self.obs[rows], self.act[rows], **scalars)

    def _piecewise(self, function: Callable[["OfflineDataset"], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        """What the function returns for each piece, joined along the rows."""
        return tuple(np.concatenate(arrays, axis=-1) for arrays in zip(*map(function, self.pieces), strict=True))

    def chunks(self, rows: Int[np.ndarray, " some"], chunk_length: int) -> Float[np.ndarray, "some chunk"]:
        """The chunk of `chunk_length` actions that was taken from each row on; all of it must lie in the episode."""
        acts = self.act[rows[:, None] + np.arange(chunk_length)]
        return acts.reshape(len(rows), chunk_length * self.act.shape[1])

    def mc_returns(self, gamma: float) -> tuple[Float[np.ndarray, "*tasks rows"], Float[np.ndarray, "*tasks rows"]]:
        """Recorded discounted return of each row, and the weight gamma^k of what lies after the recording's end.

        The weight is 0 where the task ended inside the recording; elsewhere the true return differs from the recorded
        one by at most weight * max |return|. Both are 0 at the last row of an episode (weight 1 there).
        """
        returns, weights = self._piecewise(lambda piece: _mc_returns(piece, gamma))
        return returns, weights

    def n_step(
        self, num_steps: int, gamma: float, chunk_length: int = 1
    ) -> tuple[Float[np.ndarray, "*tasks rows"], Float[np.ndarray, "*tasks rows"], Int[np.ndarray, " rows"]]:
        """The discounted n-step reward, the mask (0 if the task ended within), and the row to bootstrap from.

        Near an episode's end n shrinks so that the chunk after the window still lies inside the episode.
        """
        reward, mask, steps = self._piecewise(lambda piece: _n_step(piece, num_steps, gamma, chunk_length))
        return reward, mask, np.arange(len(self.obs), dtype=np.int32) + steps

    def windows(
        self,
        *,
        gamma: float,
        chunk_length: int = 1,
        num_steps: int | None = None,
        bank: Float[np.ndarray, "*seeds draws rows chunk"] | None = None,
        all_draws: bool = False,
        device_bytes: int = DEVICE_BYTES,
    ) -> Windows | HostWindows:
        """Windows of `chunk_length` = h actions and `num_steps` = n >= h rewards (default h), on the device.

        `bank` holds draws of the base policy at every row, used as next chunks, or those of several seeds to be trained
        side by side; without it the next chunk is the data's own. With `all_draws`, batches also hold every draw at the
        next state. What is memory-mapped, or takes more than `device_bytes`, stays on the host; batches only go to the
        device. Raises UserError if n < h, h < 1, no episode is long enough, or all draws of no bank are asked for.
        """
        num_steps = chunk_length if num_steps is None else num_steps
        if not 1 <= chunk_length <= num_steps:
            raise UserError(f"need 1 <= chunk_length <= n-step, got chunk_length {chunk_length}, n-step {num_steps}")
        if all_draws and bank is None:
            raise UserError("all_draws is True, bank is None: expected draws of the base policy; give the bank")
        rows = np.arange(len(self.obs), dtype=np.int32)
        valid = rows + 2 * chunk_length - 1 <= self.last_row
        if not valid.any():
            raise UserError(f"no episode holds two chunks of {chunk_length} actions: use shorter chunks")
        reward, mask, next_row = self.n_step(num_steps, gamma, chunk_length)
        arrays = {
            "obs": self.obs,
            "act": self.act,
            "reward": reward.T,
            "mask": mask.T,
            "discount": gamma ** (next_row - rows).astype(np.float32),
            "next_row": next_row,
            "mc_return": self.mc_returns(gamma)[0].T,
            "valid": valid,
            "starts": np.flatnonzero(valid).astype(np.int32),
            "bank": bank,
        }
        too_large = sum(array.nbytes for array in arrays.values() if array is not None) > device_bytes
        if too_large or isinstance(self.obs, np.memmap):
            return HostWindows(Windows(chunk_length=chunk_length, all_draws=all_draws, **arrays))
        return Windows(chunk_length=chunk_length, all_draws=all_draws, **jax.tree.map(jnp.asarray, arrays))


def _written(parts: Iterable[OfflineDataset], files: dict[str, Path]) -> Iterator[OfflineDataset]:
    """The parts, each one's fields written behind those of the one before; the files are there after the last."""
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
    """The parts. Raises UserError unless the files hold their fields, one part behind the other, and nothing else."""
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


def of_tasks(datasets: Sequence[OfflineDataset]) -> OfflineDataset:
    """The same rows under several rewards as one dataset: reward and mask get a leading axis of tasks."""
    reward, mask = (np.stack([getattr(each, name) for each in datasets]) for name in ("reward", "mask"))
    return replace(datasets[0], reward=reward, mask=mask)


def _mc_returns(dataset: OfflineDataset, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """`OfflineDataset.mc_returns`, all rows at once."""
    returns, tails = np.zeros(dataset.reward.shape), np.ones(dataset.reward.shape)
    last_rows, num_rows = np.unique(dataset.last_row, return_counts=True)
    for distance in range(1, num_rows.max()):  # from the episodes' ends, all of them at once
        row = last_rows[num_rows > distance] - distance
        returns[..., row] = dataset.reward[..., row] + gamma * dataset.mask[..., row] * returns[..., row + 1]
        tails[..., row] = gamma * dataset.mask[..., row] * tails[..., row + 1]
    return returns.astype(np.float32), tails.astype(np.float32)


def _n_step(
    dataset: OfflineDataset, num_steps: int, gamma: float, chunk_length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`OfflineDataset.n_step`, all rows at once; last the number of steps to the row to bootstrap from."""
    rows = np.arange(len(dataset.obs))
    next_row = np.clip(rows + num_steps, rows, np.maximum(dataset.last_row - chunk_length + 1, rows))
    reward, alive = np.zeros(dataset.reward.shape), np.ones(dataset.reward.shape)
    for step in range(num_steps):
        row = np.minimum(rows + step, dataset.last_row)
        inside = rows + step < next_row
        reward += np.where(inside, gamma**step * alive * dataset.reward[..., row], 0.0)
        alive *= np.where(inside, dataset.mask[..., row], 1.0)
    return reward.astype(np.float32), alive.astype(np.float32), (next_row - rows).astype(np.int32)
