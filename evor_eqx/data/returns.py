"""Discounted returns and n-step rewards of rows, for all rows at once, and how far the returns are known."""

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.envs.return_bounds import ReturnBounds, return_bounds

if TYPE_CHECKING:
    from evor_eqx.data.dataset import OfflineDataset

KNOWN_WEIGHT = 0.05  # a recorded return is known if what follows the recording weighs at most this share


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


def recorded_returns(dataset: "OfflineDataset", gamma: float, bounds: ReturnBounds | None = None) -> CensoredReturns:
    """The returns of all rows, [rows]: complete where the task ended, else as far as the recording tells.

    **Arguments:**

    - `dataset`: the dataset, with the rewards of one task.
    - `gamma`: the discount per step.
    - `bounds`: the bounds of what followed a recording, `Task.return_bounds`; by default those of the data's rewards.
    """
    returns, weights = dataset.mc_returns(gamma)
    return CensoredReturns(returns, weights, bounds or return_bounds(*reward_range(dataset), gamma))


def reward_range(*datasets: "OfflineDataset") -> tuple[float, float]:
    """The least and the largest reward of the datasets' transitions."""
    rewards = [dataset.reward[..., dataset.transitions] for dataset in datasets]
    return float(min(map(np.min, rewards))), float(max(map(np.max, rewards)))


def known_rows(dataset: "OfflineDataset", gamma: float, tolerance: float = KNOWN_WEIGHT) -> Int[np.ndarray, " known"]:
    """The transitions whose return is nearly known, because what follows the recording's end has little weight.

    They are chosen by time alone. Late rows from which the task was solved are left out too: with them, the choice
    would depend on the outcome, and recorded returns would look better than they are. Only where the task ended every
    episode are all returns known.

    **Arguments:**

    - `dataset`: the dataset.
    - `gamma`: the discount per step.
    - `tolerance`: the largest weight gamma^k of what follows, k steps after the row.
    """
    if dataset.ended is not None and dataset.ended.all():
        return dataset.transitions
    remaining = dataset.last_row[dataset.transitions] - dataset.transitions
    return dataset.transitions[gamma**remaining <= tolerance]


def steps_to_know(gamma: float) -> int:
    """How many steps must be recorded from a row on until its return is known: the least k, gamma^k <= 0.05."""
    return math.ceil(math.log(KNOWN_WEIGHT) / math.log(gamma))
