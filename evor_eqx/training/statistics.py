"""Statistics of a dataset, by which networks and returns are scaled."""

import jax.numpy as jnp
import numpy as np

from evor_eqx.critics.base import ReturnScale
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.returns import reward_range
from evor_eqx.envs.return_bounds import return_bounds
from evor_eqx.nn.factory import Statistics


def observation_statistics(dataset: OfflineDataset) -> Statistics:
    """Mean and standard deviation of the dataset's observations; a constant coordinate gets the deviation 1.

    Sums are in double precision, over a part of the rows at a time, relative to the first row. Summing a million
    float32 rows loses more precision than the standard deviation of nearly constant coordinates.
    """
    first = dataset.pieces[0].obs[0].astype(np.float64)
    count, total, squares = 0, np.zeros_like(first), np.zeros_like(first)
    for piece in dataset.pieces:
        for start in range(0, len(piece.obs), 2**16):
            away = piece.obs[start : start + 2**16] - first
            count, total, squares = count + len(away), total + away.sum(axis=0), squares + (away**2).sum(axis=0)
    shift = total / count
    std = np.sqrt(np.maximum(squares / count - shift**2, 0.0))
    return jnp.asarray(first + shift, jnp.float32), jnp.asarray(np.where(std > 1e-6, std, 1.0), jnp.float32)


def return_statistics(dataset: OfflineDataset, gamma: float) -> ReturnScale:
    """Shift and scale from the recorded returns; the range from the rewards, [r_min, r_max] / (1 - gamma) with 0."""
    returns = dataset.mc_returns(gamma)[0][dataset.transitions]
    bounds = return_bounds(*reward_range(dataset), gamma)
    return ReturnScale(*(jnp.asarray(v, jnp.float32) for v in (returns.mean(), max(returns.std(), 1e-3), *bounds)))
