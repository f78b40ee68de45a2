"""Discounted returns and n-step rewards of rows, for all rows at once."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

if TYPE_CHECKING:
    from evor_eqx.data.dataset import OfflineDataset


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


def n_step_rewards(
    dataset: "OfflineDataset", num_steps: int, gamma: float, chunk_length: int
) -> tuple[Float[np.ndarray, "*tasks rows"], Float[np.ndarray, "*tasks rows"], Int[np.ndarray, " rows"]]:
    """`OfflineDataset.n_step` for all rows at once, with the number of steps taken instead of the row to reach.

    Where the task ended, windows reach up to the end of their episode. Elsewhere n shrinks near the end, so that the
    chunk after the n steps still lies inside.
    """
    reward, mask, last_row, ended = dataset.reward, dataset.mask, dataset.last_row, dataset.ended
    rows = np.arange(len(last_row))
    furthest = last_row - chunk_length + 1
    if ended is not None:
        furthest = np.where(ended, last_row, furthest)
    next_row = np.clip(rows + num_steps, rows, np.maximum(furthest, rows))
    total, alive = np.zeros(reward.shape), np.ones(reward.shape)
    for step in range(num_steps):
        row = np.minimum(rows + step, last_row)
        inside = rows + step < next_row
        total += np.where(inside, gamma**step * alive * reward[..., row], 0.0)
        alive *= np.where(inside, mask[..., row], 1.0)
    return total.astype(np.float32), alive.astype(np.float32), (next_row - rows).astype(np.int32)
