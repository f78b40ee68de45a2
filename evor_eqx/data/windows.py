"""Windows of a dataset: training draws its batches from them, on the device, or on the host if they are too large."""

from typing import TYPE_CHECKING, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from evor_eqx.types import AnyArray, Batch, Choose

if TYPE_CHECKING:
    from evor_eqx.data.dataset import OfflineDataset

SEGMENT = 4_000_000  # windows; about 700 MB of an arm's observations and actions
_SEGMENT_KEY = 0x5E6


class Draw(NamedTuple):
    """Which windows make a batch."""

    start: Int[AnyArray, "*b"]  # index into `Windows.starts`
    bank_draw: Int[AnyArray, "*b"]  # which of the bank's draws is the next chunk


class Windows(eqx.Module):
    """A dataset's windows. On the device, drawing a batch is a gather inside the compiled update."""

    obs: Float[AnyArray, "rows obs"]
    act: Float[AnyArray, "rows act"]
    reward: Float[AnyArray, "rows *tasks"]
    mask: Float[AnyArray, "rows *tasks"]
    discount: Float[AnyArray, " rows"]
    next_row: Int[AnyArray, " rows"]
    mc_return: Float[AnyArray, "rows *tasks"]
    valid: Bool[AnyArray, " rows"]
    starts: Int[AnyArray, " starts"]
    bank: Float[AnyArray, "*seeds draws rows chunk"] | None
    last_row: Int[AnyArray, " rows"] | None  # only if chunks may go on after the task's end: they repeat its action
    chunk_length: int = eqx.field(static=True)
    choose: Choose | None = eqx.field(static=True, default=None)  # if backups choose, batches hold `next_draws`

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch:
        """Draw a batch uniformly from all valid windows."""
        return self.gather(draw(batch_size, len(self.starts), self.num_bank_draws, key=key))

    def gather(self, drawn: Draw) -> Batch:
        """The windows that were drawn."""
        return self.at(self.starts[drawn.start], drawn.bank_draw)

    @property
    def num_bank_draws(self) -> int:
        """Draws of the base policy for each row; 1 without a bank."""
        return 1 if self.bank is None else self.bank.shape[-3]

    @property
    def seed_axes(self) -> "Windows | None":
        """The axes of seeds that are trained side by side, for vmap. Only the bank can have one; None without it."""
        if self.bank is None or self.bank.ndim == 3:
            return None
        shared = jax.tree.map(lambda _: None, self)
        return eqx.tree_at(lambda windows: windows.bank, shared, 0, is_leaf=lambda leaf: leaf is None)

    def at(self, rows: Int[AnyArray, "*b"], bank_draw: Int[AnyArray, "*b"]) -> Batch:
        """The windows that start at some rows, on the device.

        `valid` is False where a window would leave its episode.

        **Arguments:**

        - `rows`: where the windows start.
        - `bank_draw`: which of the bank's draws is the next chunk.
        """
        next_row = self.next_row[rows]
        next_chunk = self._chunk(next_row) if self.bank is None else self.bank[bank_draw, next_row]
        arrays = {
            "obs": self.obs[rows],
            "chunk": self._chunk(rows),
            "reward": self.reward[rows],
            "discount": self.discount[rows],
            "mask": self.mask[rows],
            "valid": self.valid[rows],
            "next_obs": self.obs[next_row],
            "next_chunk": next_chunk,
            "mc_return": self.mc_return[rows],
        }
        if self.choose is not None:
            assert self.bank is not None
            arrays["next_draws"] = self.bank[np.arange(len(self.bank)), next_row[..., None]]
        return Batch(**jax.tree.map(jnp.asarray, arrays), choose=self.choose)

    def _chunk(self, rows):
        end = len(self.act) - 1 if self.last_row is None else self.last_row[rows][..., None]
        steps = (rows[..., None] + np.arange(self.chunk_length)).clip(max=end)
        return self.act[steps].reshape(*rows.shape, self.chunk_length * self.act.shape[1])


class HostWindows:
    """Windows whose arrays stay on the host, in memory or memory-mapped.

    If there are at most `segment` windows, a key draws the same batch as from `Windows` on the device. If there are
    more, each block of updates draws its batches from one segment of neighbouring windows, which is chosen at random.
    So a block reads from one place of the disk, and over many blocks all windows are equally likely.
    """

    def __init__(self, windows: Windows, segment: int = SEGMENT):
        self.windows = windows  # with numpy arrays
        self.segment = segment

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch:
        """Draw a batch of windows, on the device."""
        return jax.tree.map(lambda array: array[0], self.stage(batch_size, keys=key[None]))

    def stage(self, batch_size: int, *, keys: Key[Array, " updates"]) -> Batch:
        """Draw a batch for each key, on the device: arrays are [updates, batch, ...]."""
        first, num_starts = self._segment(keys[0])
        drawn = jax.vmap(lambda key: draw(batch_size, num_starts, self.windows.num_bank_draws, key=key))(keys)
        return self.windows.gather(Draw(first + np.asarray(drawn.start), np.asarray(drawn.bank_draw)))

    def _segment(self, key: PRNGKeyArray) -> tuple[int, int]:
        """Choose a segment by a uniformly drawn window in it: its first window and its number of windows."""
        num_starts = len(self.windows.starts)
        if num_starts <= self.segment:
            return 0, num_starts
        drawn = jax.random.randint(jax.random.fold_in(key, _SEGMENT_KEY), (), 0, num_starts)
        first = int(drawn) // self.segment * self.segment
        return first, min(self.segment, num_starts - first)


def draw(batch_size: int, num_starts: int, num_bank_draws: int, *, key: PRNGKeyArray) -> Draw:
    """Draw a batch of starts and, for each, one of the bank's draws; both uniformly."""
    start_key, bank_key = jax.random.split(key)
    start = jax.random.randint(start_key, (batch_size,), 0, num_starts)
    return Draw(start, jax.random.randint(bank_key, (batch_size,), 0, num_bank_draws))


def windows_of(
    dataset: "OfflineDataset",
    gamma: float,
    chunk_length: int,
    num_steps: int,
    bank: Float[np.ndarray, "*seeds draws rows chunk"] | None,
    choose: Choose | None,
    device_bytes: int,
) -> Windows | HostWindows:
    """`OfflineDataset.windows` for arguments that were checked."""
    rows, valid = np.arange(len(dataset.obs), dtype=np.int32), dataset.window_starts(chunk_length)
    reward, mask, next_row = dataset.n_step(num_steps, gamma, chunk_length)
    arrays = {
        "obs": dataset.obs,
        "act": dataset.act,
        "reward": reward.T,
        "mask": mask.T,
        "discount": gamma ** (next_row - rows).astype(np.float32),
        "next_row": next_row,
        "mc_return": dataset.mc_returns(gamma)[0].T,
        "valid": valid,
        "starts": np.flatnonzero(valid).astype(np.int32),
        "bank": bank,
        "last_row": None if dataset.ended is None else dataset.last_row,
    }
    too_large = sum(array.nbytes for array in arrays.values() if array is not None) > device_bytes
    if too_large or isinstance(dataset.obs, np.memmap):
        return HostWindows(Windows(chunk_length=chunk_length, choose=choose, **arrays))
    return Windows(chunk_length=chunk_length, choose=choose, **jax.tree.map(jnp.asarray, arrays))
