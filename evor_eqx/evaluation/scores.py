"""Scores of return distributions at returns some of which were cut off: the least and the most that each can be.

A return that was cut off lies in [low, high], see `evor_eqx.data.censoring`. Bounds are over all that may have followed
it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evor_eqx.data.censoring import CensoredReturns, ScoreBounds
from evor_eqx.distributions import ReturnDistribution, crps, mean, mid_quantiles, pit

Bounds = tuple[Float[Array, ""], Float[Array, ""]]


def score_bounds(
    each: ReturnDistribution, pooled: ReturnDistribution, low: Float[Array, " rows"], high: Float[Array, " rows"]
) -> dict[str, Bounds]:
    """The bounds of W_1, CRPS, mean error and coverage, by the names of `HeldOut`; in compiled code.

    - W_1: the k-th smallest return lies between the k-th smallest `low` and the k-th smallest `high`. W_1 is least for
      those nearest to the pooled quantiles, and most at one of the ends. Not all of them may be possible together, so
      the true bounds can be closer.
    - CRPS: it is convex in the return. It is least at the median clipped into [`low`, `high`], most at an end.
    - Mean error and coverage are monotone: the PIT grows with the return.

    **Arguments:**

    - `each`: a distribution for each return, [rows, atoms].
    - `pooled`: all of them as one, [atoms].
    - `low`, `high`: the least and the most that each return can be.
    """
    ends = jnp.stack([low, high])
    rising = jnp.sort(ends, axis=1)
    quantiles, medians = mid_quantiles(pooled, len(low)), mid_quantiles(each, 1)[:, 0]
    at_ends = jax.vmap(jax.vmap(crps), in_axes=(None, 0))(each, ends)
    errors, levels = mean(each) - ends, jnp.stack([pit(each, low), pit(each, high)]) - 0.5
    by_row = {
        "held_out_w1": (jnp.abs(quantiles - jnp.clip(quantiles, *rising)), jnp.abs(quantiles - rising).max(axis=0)),
        "held_out_crps": (jax.vmap(crps)(each, jnp.clip(medians, *ends)), at_ends.max(axis=0)),
        "held_out_error": (errors[1], errors[0]),
        "held_out_coverage": ((jnp.abs(levels) <= 0.45).all(axis=0), (levels[0] <= 0.45) & (levels[1] >= -0.45)),
    }
    return {name: (jnp.mean(least), jnp.mean(most)) for name, (least, most) in by_row.items()}


def wasserstein_bounds(
    atoms: Float[np.ndarray, " atoms"], weights: Float[np.ndarray, " atoms"], returns: CensoredReturns
) -> ScoreBounds:
    """The bounds of W_1 between a weighted distribution and returns, on the host; without approximation of quantiles.

    They are found as in `score_bounds`, return by return: each stands for 1 / num of the probability. If all returns
    are complete, both are `distributions.wasserstein_1`.
    """
    order, num = np.argsort(atoms), returns.num
    sums = np.cumsum(weights[order], dtype=np.float64)
    sums /= sums[-1]
    levels = np.unique(np.r_[sums, np.arange(num + 1) / num])
    middles, widths = (levels[1:] + levels[:-1]) / 2, np.diff(levels)
    quantiles = atoms[order][np.searchsorted(sums, middles)]
    place = np.minimum((middles * num).astype(int), num - 1)  # the last middle may round to 1

    def distance(z):
        return np.bincount(place, widths * np.abs(quantiles - z[place]), minlength=num)

    low, high = np.sort(returns.low.ravel()), np.sort(returns.high.ravel())
    medians = atoms[order][np.searchsorted(sums, (np.arange(num) + 0.5) / num)]
    least = distance(np.clip(medians, low, high)).sum()
    return ScoreBounds(float(least), float(np.maximum(distance(low), distance(high)).sum()))
