"""A dataset as rows on the host, in OGBench's compact layout.

`mask`, done (a row is its episode's `last_row`) and `valid` (a window lies inside one episode) are three flags.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from evor_eqx.data.pieces import cut
from evor_eqx.data.returns import discounted_returns, n_step_rewards
from evor_eqx.data.windows import HostWindows, Windows, windows_of
from evor_eqx.errors import UserError
from evor_eqx.types import Choose

DEVICE_BYTES = 4 * 10**9  # larger windows stay on the host
PIECE_ROWS = 4_000_000  # rows of a piece, about


@dataclass(frozen=True)
class OfflineDataset:
    """Recorded episodes as rows on the host. Make one with `from_arrays` or `from_file`.

    A row is one state with the action taken there. An episode of L steps has L + 1 rows. Its last row has no next
    state: it starts no transition, but a backup may bootstrap from its state.

    - `obs` [rows, obs], `act` [rows, act]: in the environment's units, as they were given.
    - `reward`, `mask` [rows]: of the transition that starts at the row. `mask` is 0 where the task ended, else 1. With
      several tasks on the same rows, both have a leading axis of tasks.
    - `last_row` [rows]: the last row of the row's episode. A row that is its own `last_row` is done: the recording
      ends.
    - `ended` [rows]: whether the task ended at the end of the row's episode. None: no episode was ended by the task.
    - `given_row` [rows]: the row's number in the arrays that were given; errors name it. None: the same number.
    - `files`: the first row from each file, with the file's name.
    """

    obs: Float[np.ndarray, "rows obs"]
    act: Float[np.ndarray, "rows act"]
    reward: Float[np.ndarray, "*tasks rows"]
    mask: Float[np.ndarray, "*tasks rows"]
    last_row: Int[np.ndarray, " rows"]
    ended: Bool[np.ndarray, " rows"] | None = None
    given_row: Int[np.ndarray, " rows"] | None = None
    files: tuple[tuple[int, str], ...] = ()

    @classmethod
    def from_arrays(cls, **arrays: Any) -> "OfflineDataset":
        """Your own arrays as a dataset: one row for each recorded step, in the order of time.

        **Arguments:**

        - `observations` [rows, obs], `actions` [rows, act] in the environment's units, `rewards` [rows].
        - What ends an episode, arrays [rows] of 0 and 1, in one of three layouts. `terminals` means something else in
          each, so `timeouts` together with `masks` or `valids` is refused.

          - D4RL's: `terminals` is 1 where the task ended, `timeouts` is 1 where a time limit cut the recording.
          - OGBench's: `terminals` is 1 at the last step of an episode, `masks` is 0 where the task ended.
          - OGBench's compact one: L steps are L + 1 rows, `valids` is 0 in the last of them, `masks` as before.

        - `next_observations` [rows, obs]: the state after each step, if you have it. Without it, the last step of an
          episode that was cut is left out, because nobody knows where it led.

        **Raises:**

        UserError that names the array, its row and value, for anything that a dataset cannot be made of.
        """
        from evor_eqx.data.arrays import rows_from_arrays

        return cls(**rows_from_arrays(arrays)._asdict())

    @classmethod
    def from_file(cls, path: str | Path, *, validation: bool = False) -> "OfflineDataset":
        """Arrays as in `from_arrays` from a file (.npz, .hdf5, .h5, .parquet), or from all files of a folder.

        In a folder, files whose names end in `-val` are left out or, with `validation`, are the only ones. Parquet
        files may have LeRobot's columns. Raises UserError that names the file, if it cannot be read or is no dataset.
        """
        from evor_eqx.data.files import rows_from_files

        rows, files = rows_from_files(Path(path).expanduser(), validation)
        return cls(**rows._asdict(), files=files)

    @classmethod
    def from_compact(cls, arrays: dict[str, np.ndarray]) -> "OfflineDataset":
        """A dataset from the arrays of one of OGBench's own datasets, in its compact layout.

        **Arguments:**

        - `arrays`: observations, actions, valids (0 at an episode's last row) and, for a task, rewards and masks; those
          of an own task also have `ended`.

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
            ended=arrays.get("ended"),
        )

    def to_compact(self) -> dict[str, np.ndarray]:
        """The inverse of `from_compact`."""
        arrays = {"observations": self.obs, "actions": self.act, "rewards": self.reward, "masks": self.mask}
        arrays["valids"] = (np.arange(len(self.obs)) < self.last_row).astype(np.float32)
        return arrays if self.ended is None else arrays | {"ended": self.ended}

    def where(self, row: int) -> str:
        """A row's number in the arrays that it came from, and their file if there is one: for errors."""
        number = row if self.given_row is None else int(self.given_row[row])
        names = [name for first, name in self.files if first <= row]
        return f"row {number}" + (f" of {names[-1]}" if names else "")

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

        Computing piece by piece needs little memory.
        """
        return cut(self, PIECE_ROWS)

    def _piecewise(self, function: Callable[["OfflineDataset"], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
        """Apply the function to each piece and join its results along the rows."""
        return tuple(np.concatenate(arrays, axis=-1) for arrays in zip(*map(function, self.pieces), strict=True))

    def with_chunk(self, rows: Int[np.ndarray, " rows"], chunk_length: int) -> Int[np.ndarray, " fitting"]:
        """Those of the rows at which a whole chunk was taken. The action of an episode's last row leads nowhere."""
        return rows[rows + chunk_length <= self.last_row[rows]]

    def chunks(self, rows: Int[np.ndarray, " some"], chunk_length: int) -> Float[np.ndarray, "some chunk"]:
        """The chunks that were taken at some rows.

        **Arguments:**

        - `rows`: where the chunks begin. A chunk must not reach beyond its episode.
        - `chunk_length`: h, the number of actions in a chunk.
        """
        acts = self.act[rows[:, None] + np.arange(chunk_length)]
        return acts.reshape(len(rows), chunk_length * self.act.shape[1])

    def mc_returns(self, gamma: float) -> tuple[Float[np.ndarray, "*tasks rows"], Float[np.ndarray, "*tasks rows"]]:
        """The recorded discounted return of each row, and the weight of what came after the recording.

        **Arguments:**

        - `gamma`: the discount per step, in [0, 1].

        **Returns:** two arrays [rows].

        - The returns: the discounted sum of the rewards from the row to the end of its episode.
        - The weights: gamma^k with k steps to the end of the episode; 0 if the task ended in between. If R is the
          return from the end of the recording on, the whole return is the recorded one plus weight * R. At the last row
          of an episode the recorded return is 0 and the weight is 1.
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

        Near the end of an episode that was cut, n shrinks, so that the chunk after the n steps still lies inside.

        **Arguments:**

        - `num_steps`: n.
        - `gamma`: the discount per step.
        - `chunk_length`: h, the actions in the chunk after the n steps.

        **Returns:** the rewards, the masks (0 if the task ended within the n steps), and the rows to bootstrap from.
        """
        reward, mask, steps = self._piecewise(lambda piece: n_step_rewards(piece, num_steps, gamma, chunk_length))
        return reward, mask, np.arange(len(self.obs), dtype=np.int32) + steps

    def window_starts(self, chunk_length: int) -> Bool[np.ndarray, " rows"]:
        """The rows that a window with chunks of this length can start at. Raises UserError if there are none."""
        rows = np.arange(len(self.obs))
        valid = rows + 2 * chunk_length - 1 <= self.last_row
        if self.ended is not None:  # a chunk that goes on after the task's end is executed up to there
            valid |= self.ended & (rows < self.last_row)
        if not valid.any():
            raise UserError(
                f"no episode holds two chunks of {chunk_length} actions, expected at least one; use shorter chunks"
            )
        return valid

    def windows(
        self,
        *,
        gamma: float,
        chunk_length: int = 1,
        num_steps: int | None = None,
        bank: Float[np.ndarray, "*seeds draws rows chunk"] | None = None,
        choose: Choose | None = None,
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
        - `choose`: how backups choose among the draws at the next state, all of which batches then hold.
        - `device_bytes`: the most bytes that windows on the device may take.

        **Raises:** UserError unless 1 <= h <= n, if no episode is long enough, or for `choose` without a bank.
        """
        num_steps = chunk_length if num_steps is None else num_steps
        if not 1 <= chunk_length <= num_steps:
            raise UserError(
                f"got chunk_length {chunk_length} and n-step {num_steps}, expected 1 <= chunk_length <= n-step"
            )
        if choose is not None and bank is None:
            raise UserError("bank is None: expected draws of the base policy to choose among; give the bank")
        return windows_of(self, gamma, chunk_length, num_steps, bank, choose, device_bytes)
