"""Windows of a dataset, from which training draws its batches: on the device, or on the host if they are too large."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray

from evor_eqx.types import AnyArray, Batch

SEGMENT = 4_000_000  # windows; some 700 MB of an arm's observations and actions
_SEGMENT_KEY = 0x5E6


class Draw(NamedTuple):
    """Which windows make a batch."""

    start: Int[AnyArray, "*b"]  # index into `Windows.starts`
    bank_draw: Int[AnyArray, "*b"]  # which of the bank's draws is the next chunk


class Windows(eqx.Module):
    """A dataset's windows, mostly on the device, where drawing from it is a gather inside the compiled update."""

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
    chunk_length: int = eqx.field(static=True)
    all_draws: bool = eqx.field(static=True, default=False)  # whether batches hold `next_draws`

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch:
        """A batch of windows, drawn uniformly from all that are valid."""
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
        """Where seeds side by side have an array of their own, which may be the bank; see `train.PerSeed`."""
        if self.bank is None or self.bank.ndim == 3:
            return None
        shared = jax.tree.map(lambda _: None, self)
        return eqx.tree_at(lambda windows: windows.bank, shared, 0, is_leaf=lambda leaf: leaf is None)

    def at(self, rows: Int[AnyArray, "*b"], bank_draw: Int[AnyArray, "*b"]) -> Batch:
        """The windows that start at `rows`, on the device; `valid` is False where one would leave its episode."""
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
        if self.all_draws:
            assert self.bank is not None
            arrays["next_draws"] = self.bank[np.arange(len(self.bank)), next_row[..., None]]
        return Batch(**jax.tree.map(jnp.asarray, arrays))

    def _chunk(self, rows):
        steps = (rows[..., None] + np.arange(self.chunk_length)).clip(max=len(self.act) - 1)
        return self.act[steps].reshape(*rows.shape, self.chunk_length * self.act.shape[1])


class HostWindows:
    """Windows whose arrays stay on the host, in memory or memory-mapped: a `train.HostSampler`.

    The same key draws the same batch as from `Windows` on the device, if there are at most `segment` windows. Of more,
    the batches of a block of updates are drawn from one run of so many neighbours, itself drawn at random: what a block
    reads lies close together on the disk, and over blocks every window is as likely as any other.
    """

    def __init__(self, windows: Windows, segment: int = SEGMENT):
        self.windows = windows  # its arrays are numpy's
        self.segment = segment

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch:
        """A batch of windows, on the device."""
        return jax.tree.map(lambda array: array[0], self.stage(batch_size, keys=key[None]))

    def stage(self, batch_size: int, *, keys: Key[Array, " updates"]) -> Batch:
        """A batch for each key, on the device: arrays are [updates, batch, ...]."""
        first, num_starts = self._segment(keys[0])
        drawn = jax.vmap(lambda key: draw(batch_size, num_starts, self.windows.num_bank_draws, key=key))(keys)
        return self.windows.gather(Draw(first + np.asarray(drawn.start), np.asarray(drawn.bank_draw)))

    def _segment(self, key: PRNGKeyArray) -> tuple[int, int]:
        """The first window of the segment that a uniformly drawn window lies in, and how many it has."""
        num_starts = len(self.windows.starts)
        if num_starts <= self.segment:
            return 0, num_starts
        drawn = jax.random.randint(jax.random.fold_in(key, _SEGMENT_KEY), (), 0, num_starts)
        first = int(drawn) // self.segment * self.segment
        return first, min(self.segment, num_starts - first)


def draw(batch_size: int, num_starts: int, num_bank_draws: int, *, key: PRNGKeyArray) -> Draw:
    """A batch of starts and, for each, one of the bank's draws; both uniform."""
    start_key, bank_key = jax.random.split(key)
    start = jax.random.randint(start_key, (batch_size,), 0, num_starts)
    return Draw(start, jax.random.randint(bank_key, (batch_size,), 0, num_bank_draws))
