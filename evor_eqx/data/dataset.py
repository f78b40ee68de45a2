"""A dataset as rows on the host.

A row is one state with the action taken there. An episode of L transitions has L + 1 rows (OGBench's compact layout).
Its last row has no next state, so it starts no transition. But its state is bootstrapped from, and its action is a draw
of the behaviour.

Three flags mean three different things:

- `mask` is 0 where the task ended.
- A row is done (it is its episode's `last_row`) where the recording ends.
- A window is `valid` if it lies inside one episode.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from evor_eqx.data.windows import HostWindows, Windows
from evor_eqx.errors import UserError

DEVICE_BYTES = 4 * 10**9  # larger windows stay on the host
PIECE_ROWS = 4_000_000  # rows of a piece, about


@dataclass(frozen=True)
class OfflineDataset:
    """Rows on the host. `reward` and `mask` belong to the transition that starts at the row.

    They have a leading axis of tasks if there are several; see `of_tasks`.
    """

    obs: Float[np.ndarray, "rows obs"]
    act: Float[np.ndarray, "rows act"]
    reward: Float[np.ndarray, "*tasks rows"]
    mask: Float[np.ndarray, "*tasks rows"]
    last_row: Int[np.ndarray, " rows"]  # the last row of the row's episode

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "OfflineDataset":
        """A dataset from arrays in OGBench's compact layout.

        **Arguments:**

        - `arrays`: observations, actions, valids (0 at an episode's last row) and, for a task, rewards and masks.

        **Raises:** UserError if the last row does not end an episode.
        """
        valids = np.asarray(arrays["valids"]) > 0
        if len(valids) == 0 or valids[-1]:
            raise UserError(
                "the last row is inside an episode, expected an episode's end (valids = 0): the file is cut short; "
                "make it again"
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
        """Bytes that all rows take."""
        return sum(array.nbytes for array in (self.obs, self.act, self.reward, self.mask, self.last_row))

    @cached_property
    def transitions(self) -> Int[np.ndarray, " transitions"]:
        """The rows that start a transition: all but the last row of each episode."""
        return np.flatnonzero(np.arange(len(self.obs)) < self.last_row)

    @cached_property
    def pieces(self) -> list["OfflineDataset"]:
        """The dataset in pieces of about four million rows, cut between episodes.

        Computing piece by piece needs little memory for intermediate results.
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
        """Apply the function to each piece and join its results along the rows."""
        return tuple(np.concatenate(arrays, axis=-1) for arrays in zip(*map(function, self.pieces), strict=True))

    def chunks(self, rows: Int[np.ndarray, " some"], chunk_length: int) -> Float[np.ndarray, "some chunk"]:
        """The chunks that were taken at some rows.

        **Arguments:**

        - `rows`: where the chunks begin. A chunk must not reach beyond its episode.
        - `chunk_length`: h, the number of actions in a chunk.
        """
        acts = self.act[rows[:, None] + np.arange(chunk_length)]
        return acts.reshape(len(rows), chunk_length * self.act.shape[1])

    def mc_returns(self, gamma: float) -> tuple[Float[np.ndarray, "*tasks rows"], Float[np.ndarray, "*tasks rows"]]:
        """The recorded discounted return of each row, and the weight of the return after the recording.

        The weight is gamma^k for k steps to the end of the recording, and 0 where the task ended before. The true
        return differs from the recorded one by at most weight * max |return|. At the last row of an episode the
        recorded return is 0 and the weight is 1.
        """

        def of_piece(piece: OfflineDataset) -> tuple[np.ndarray, ...]:
            both = discounted_returns(piece.reward, piece.mask, piece.last_row, gamma)
            return tuple(array.astype(np.float32) for array in both)

        returns, weights = self._piecewise(of_piece)
        return returns, weights

    def n_step(
        self, num_steps: int, gamma: float, chunk_length: int = 1
    ) -> tuple[Float[np.ndarray, "*tasks rows"], Float[np.ndarray, "*tasks rows"], Int[np.ndarray, " rows"]]:
        """The discounted n-step rewards of all rows.

        Near an episode's end n shrinks, so that the chunk after the n steps still lies inside the episode.

        **Arguments:**

        - `num_steps`: n.
        - `gamma`: the discount per step.
        - `chunk_length`: h, the actions in the chunk after the n steps.

        **Returns:** the rewards, the masks (0 if the task ended within the n steps), and the rows to bootstrap from.
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
        """The windows that training draws its batches from.

        They are arrays on the device. If the rows are memory-mapped or take too many bytes, the windows stay on the
        host, and only batches go to the device.

        **Arguments:**

        - `gamma`: the discount per step.
        - `chunk_length`: h, the actions in a chunk.
        - `num_steps`: n >= h, the rewards in a window (default: h).
        - `bank`: draws of the base policy at every row, used as next chunks; one bank per seed if several seeds are
          trained side by side. Without it the next chunk is the data's own.
        - `all_draws`: whether batches also hold every draw at the next state.
        - `device_bytes`: the most bytes that windows on the device may take.

        **Raises:** UserError unless 1 <= h <= n, if no episode is long enough, or for `all_draws` without a bank.
        """
        num_steps = chunk_length if num_steps is None else num_steps
        if not 1 <= chunk_length <= num_steps:
            raise UserError(
                f"got chunk_length {chunk_length} and n-step {num_steps}, expected 1 <= chunk_length <= n-step"
            )
        if all_draws and bank is None:
            raise UserError("all_draws is True, bank is None: expected draws of the base policy; give the bank")
        rows = np.arange(len(self.obs), dtype=np.int32)
        valid = rows + 2 * chunk_length - 1 <= self.last_row
        if not valid.any():
            raise UserError(
                f"no episode holds two chunks of {chunk_length} actions, expected at least one: use shorter chunks"
            )
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


def of_tasks(datasets: Sequence[OfflineDataset]) -> OfflineDataset:
    """Join the same rows under several tasks' rewards into one dataset, with a leading axis of tasks."""
    reward, mask = (np.stack([getattr(each, name) for each in datasets]) for name in ("reward", "mask"))
    return replace(datasets[0], reward=reward, mask=mask)


def discounted_returns(
    reward: Float[np.ndarray, "*tasks rows"],
    mask: Float[np.ndarray, "*tasks rows"],
    last_row: Int[np.ndarray, " rows"],
    gamma: float,
) -> tuple[Float[np.ndarray, "*tasks rows"], Float[np.ndarray, "*tasks rows"]]:
    """The return G_t = r_t + gamma m_t G_{t+1} of every row, and the weight of what lies after the recording's end.

    **Arguments:**

    - `reward`, `mask`: those of the transition that starts at the row; the last row of an episode starts none.
    - `last_row`: the last row of the row's episode.
    - `gamma`: the discount per step.

    **Returns:**

    Returns and weights in double precision; 0 and 1 at the last row of an episode.
    """
    returns, weights = np.zeros(reward.shape), np.ones(reward.shape)
    last_rows, num_rows = np.unique(last_row, return_counts=True)
    for distance in range(1, num_rows.max()):  # from the episodes' ends, all of them at once
        row = last_rows[num_rows > distance] - distance
        returns[..., row] = reward[..., row] + gamma * mask[..., row] * returns[..., row + 1]
        weights[..., row] = gamma * mask[..., row] * weights[..., row + 1]
    return returns, weights


def _n_step(
    dataset: OfflineDataset, num_steps: int, gamma: float, chunk_length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute `OfflineDataset.n_step` for all rows at once, with the number of steps instead of the row to reach."""
    rows = np.arange(len(dataset.obs))
    next_row = np.clip(rows + num_steps, rows, np.maximum(dataset.last_row - chunk_length + 1, rows))
    reward, alive = np.zeros(dataset.reward.shape), np.ones(dataset.reward.shape)
    for step in range(num_steps):
        row = np.minimum(rows + step, dataset.last_row)
        inside = rows + step < next_row
        reward += np.where(inside, gamma**step * alive * dataset.reward[..., row], 0.0)
        alive *= np.where(inside, dataset.mask[..., row], 1.0)
    return reward.astype(np.float32), alive.astype(np.float32), (next_row - rows).astype(np.int32)
