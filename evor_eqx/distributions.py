"""Return distributions as weighted atoms: mean, soft value, quantiles, and their distances to returns.

Leading axes are kept, unless a function says that it takes one distribution.
"""

from types import ModuleType

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int

from evor_eqx.errors import UserError
from evor_eqx.types import AnyArray


class ReturnDistribution(eqx.Module):
    """A distribution of the return as a weighted set of atoms.

    - `atoms` [atoms]: returns, in any order. They may have leading axes, one distribution for each entry.
    - `weights` [atoms]: the probability of each atom; non-negative, with sum 1.
    """

    atoms: Float[Array, "*b atoms"]
    weights: Float[Array, "*b atoms"]

    @classmethod
    def of_equal_weights(cls, atoms: Float[Array, "*b atoms"]) -> "ReturnDistribution":
        """The distribution with these atoms, each of weight 1 / N."""
        return cls(atoms, jnp.full_like(atoms, 1.0 / atoms.shape[-1]))


def check_distribution(atoms: AnyArray, weights: AnyArray) -> None:
    """Raise UserError unless distributions are valid, on the host and outside compiled code.

    **Arguments:**

    - `atoms`: returns [*b, atoms]; at least one, all finite.
    - `weights`: one for each atom, non-negative. Their sum may differ from 1 by 1e-4, the rounding of a thousand
      float32 numbers.
    """
    atoms, weights = np.asarray(atoms), np.asarray(weights)
    if atoms.shape != weights.shape:
        raise UserError(
            f"weights of the distribution: got shape {weights.shape}, expected one for each atom, {atoms.shape}"
        )
    if atoms.shape[-1] == 0:
        raise UserError("the distribution has no atoms: expected at least one; ask for num_returns >= 1")
    if not np.isfinite(atoms).all():
        raise UserError(f"an atom of the distribution is {atoms[~np.isfinite(atoms)][0]}: expected finite returns")
    if not (weights >= 0).all():
        raise UserError(f"a weight of the distribution is {weights[~(weights >= 0)][0]}: expected non-negative weights")
    total = np.atleast_1d(weights.sum(axis=-1))
    off = np.abs(total - 1) > 1e-4
    if off.any():
        raise UserError(f"the distribution's weights sum to {total[off][0]:.6g}: expected 1; divide by their sum")


def mean(distribution: ReturnDistribution) -> Float[Array, "*b"]:
    """The expected return, which is the limit of `soft_value` for large tau_R."""
    return jnp.sum(distribution.weights * distribution.atoms, axis=-1)


def soft_value(distribution: ReturnDistribution, tau_r: Float[Array, ""] | float) -> Float[Array, "*b"]:
    """Q* = tau_R log sum_j w_j exp(z_j / tau_R), in units of return.

    The largest atom is subtracted first, so that small tau_R do not overflow. At large tau_R, log1p of expm1 keeps the
    digits of the mean. At small tau_R, log-sum-exp is accurate if the largest atom has a small weight.

    **Arguments:**

    - `distribution`: the return distribution.
    - `tau_r`: value temperature in [0, inf], in units of return. 0 gives the largest atom, infinity the mean; the value
      falls as tau_R grows. It may be traced, so it is not checked: a negative one gives nonsense.

    **Returns:**

    One value for each distribution, without the axis of atoms. Nothing is raised.
    """
    tau_r = jnp.asarray(tau_r, distribution.atoms.dtype)
    largest = jnp.max(jnp.where(distribution.weights > 0, distribution.atoms, -jnp.inf), axis=-1)
    below = jnp.where(distribution.weights > 0, distribution.atoms - largest[..., None], 0.0)
    finite = jnp.where((tau_r > 0) & jnp.isfinite(tau_r), tau_r, 1.0)
    excess = jnp.sum(distribution.weights * jnp.expm1(below / finite), axis=-1)
    small = logsumexp(below / finite, b=distribution.weights, axis=-1)
    soft = largest + finite * jnp.where(excess > -0.5, jnp.log1p(jnp.maximum(excess, -0.5)), small)
    return jnp.select([tau_r == 0, jnp.isinf(tau_r)], [largest, mean(distribution)], soft)


def mid_quantiles(distribution: ReturnDistribution, num: int) -> Float[Array, "*b num"]:
    """The quantiles at the levels (j - 1/2) / num, j = 1..num, in rising order.

    A quantile is the smallest atom whose cumulative weight exceeds the level. A distribution of `num` equal weights
    gives its sorted atoms.
    """
    atoms, cumulative = _rising(distribution)
    levels = mid_levels(num) * cumulative[..., -1:]
    index = jnp.sum(cumulative[..., None, :] <= levels[..., None], axis=-1)
    return jnp.take_along_axis(atoms, jnp.minimum(index, atoms.shape[-1] - 1), axis=-1)


def quantile_means(distribution: ReturnDistribution, num: int) -> Float[Array, "*b num"]:
    """The means of the quantile function over the levels from (j - 1) / num to j / num, j = 1..num, in rising order.

    As atoms of equal weights they have the distribution's own mean, whatever its weights. A distribution of `num` equal
    weights gives its sorted atoms.
    """
    atoms, cumulative = _rising(distribution)
    ends = jnp.arange(num + 1) / num * cumulative[..., -1:]
    starts = jnp.concatenate([jnp.zeros_like(cumulative[..., :1]), cumulative[..., :-1]], axis=-1)
    upper = jnp.minimum(cumulative[..., None, :], ends[..., 1:, None])
    lower = jnp.maximum(starts[..., None, :], ends[..., :-1, None])
    shares = jnp.maximum(upper - lower, 0.0) * num / cumulative[..., -1:, None]
    return jnp.sum(shares * atoms[..., None, :], axis=-1)


def mid_levels(num: int, xp: ModuleType = jnp) -> Float[AnyArray, " num"]:
    """(j - 1/2) / N for j = 1..N: the levels at which N atoms of equal weight are closest to a distribution in W_1.

    Dabney et al. 2018, "Distributional Reinforcement Learning with Quantile Regression", lemma 2.

    **Arguments:**

    - `num`: N, the number of levels.
    - `xp`: jax.numpy, or numpy for levels in double precision.
    """
    return (xp.arange(num) + 0.5) / num


def at_level(weights: Float[Array, " cand"], level: Float[Array, ""]) -> Int[Array, ""]:
    """The first index at which the cumulative weights exceed `level`, in [0, 1).

    If the level is drawn uniformly, each index is drawn with a probability proportional to its weight.
    """
    cumulative = jnp.cumsum(weights)
    return jnp.minimum(jnp.sum(cumulative <= level * cumulative[-1]), len(weights) - 1)


def pit(distribution: ReturnDistribution, z: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """The probability integral transform P(Z < z) + P(Z = z) / 2 of one return per distribution, in [0, 1].

    If the distributions are right and continuous, it is uniform over the returns (Dawid 1984). At an atom it is the
    middle of the jump.
    """
    below = jnp.sum(distribution.weights * (distribution.atoms < z[..., None]), axis=-1)
    return below + 0.5 * jnp.sum(distribution.weights * (distribution.atoms == z[..., None]), axis=-1)


def crps(distribution: ReturnDistribution, z: Float[Array, ""]) -> Float[Array, ""]:
    """Continuous ranked probability score E|z_j - z| - E|z_j - z_k| / 2 of one distribution at an observed return.

    It is at least 0, in units of return. For a distribution with a single atom it is the absolute error (Gneiting and
    Raftery 2007).
    """
    apart = jnp.abs(distribution.atoms[:, None] - distribution.atoms[None, :])
    return (
        distribution.weights @ jnp.abs(distribution.atoms - z)
        - 0.5 * distribution.weights @ apart @ distribution.weights
    )


def quantile_distances(
    distribution: ReturnDistribution, quantiles: Float[Array, "*b levels"]
) -> Float[Array, "*b levels"]:
    """|F^-1(u) - G^-1(u)| at the mid levels u, in units of return; its mean approximates W_1 in compiled code.

    **Arguments:**

    - `distribution`: F.
    - `quantiles`: the quantiles of G at the mid levels, in rising order. For recorded returns, these are the sorted
      returns themselves.
    """
    return jnp.abs(mid_quantiles(distribution, quantiles.shape[-1]) - quantiles)


def wasserstein_1(
    atoms: Float[np.ndarray, " atoms"], weights: Float[np.ndarray, " atoms"], samples: Float[np.ndarray, " samples"]
) -> float:
    """The exact W_1 between a weighted distribution and samples: the area between their distribution functions.

    **Arguments:**

    - `atoms`, `weights`: one distribution, on the host.
    - `samples`: at least one return, each of the same weight.

    **Returns:**

    The distance in units of return, in double precision.

    **Raises:**

    UserError as `check_distribution` does, and unless there is at least one sample and all are finite.
    """
    from scipy.stats import wasserstein_distance  # takes a second to import

    check_distribution(atoms, weights)
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise UserError(f"samples: got {len(samples)} values, expected at least one and all finite; check the data")
    atoms, weights, samples = (np.asarray(array, np.float64) for array in (atoms, weights, samples))
    return float(wasserstein_distance(atoms, samples, u_weights=weights))


def _rising(distribution: ReturnDistribution) -> tuple[Float[Array, "*b atoms"], Float[Array, "*b atoms"]]:
    """The atoms in rising order, and their cumulative weights."""
    order = jnp.argsort(distribution.atoms, axis=-1)
    weights = jnp.take_along_axis(distribution.weights, order, axis=-1)
    return jnp.take_along_axis(distribution.atoms, order, axis=-1), jnp.cumsum(weights, axis=-1)
