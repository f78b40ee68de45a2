"""What is read from a return law: its mean, its soft value, its quantiles. Leading axes are kept."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int

from evor_eqx.errors import UserError
from evor_eqx.types import AnyArray


class ReturnLaw(eqx.Module):
    """A law of the reward-to-go as a weighted set of atoms; weights are non-negative and sum to one."""

    atoms: Float[Array, "*b atoms"]
    weights: Float[Array, "*b atoms"]


def crps(law: ReturnLaw, z: Float[Array, ""]) -> Float[Array, ""]:
    """Continuous ranked probability score of one law at an observed return: E|z_j - z| - E|z_j - z_k| / 2, at least 0.

    In units of return; the absolute error if the law is a point (Gneiting and Raftery 2007).
    """
    apart = jnp.abs(law.atoms[:, None] - law.atoms[None, :])
    return law.weights @ jnp.abs(law.atoms - z) - 0.5 * law.weights @ apart @ law.weights


def check_law(atoms: AnyArray, weights: AnyArray) -> None:
    """Raise UserError unless laws have atoms, all finite, and as many weights, non-negative and with a sum of one.

    Runs on the host, outside compiled code; weights may miss one by 1e-4, the rounding of a thousand float32 numbers.
    """
    atoms, weights = np.asarray(atoms), np.asarray(weights)
    if atoms.shape != weights.shape:
        raise UserError(f"weights of the law: got shape {weights.shape}, expected one for each atom, {atoms.shape}")
    if atoms.shape[-1] == 0:
        raise UserError("the law has no atoms: expected at least one; ask for num_returns >= 1")
    if not np.isfinite(atoms).all():
        raise UserError(f"an atom of the law is {atoms[~np.isfinite(atoms)][0]}: expected finite returns")
    if not (weights >= 0).all():
        raise UserError(f"a weight of the law is {weights[~(weights >= 0)][0]}: expected non-negative weights")
    total = np.atleast_1d(weights.sum(axis=-1))
    off = np.abs(total - 1) > 1e-4
    if off.any():
        raise UserError(f"the law's weights sum to {total[off][0]:.6g}: expected 1; divide by their sum")


def mean(law: ReturnLaw) -> Float[Array, "*b"]:
    """Expected return of a law: the limit of `soft_value` as tau_R grows."""
    return jnp.sum(law.weights * law.atoms, axis=-1)


def soft_value(law: ReturnLaw, tau_r: Float[Array, ""] | float) -> Float[Array, "*b"]:
    """Q* = tau_R log sum_j w_j exp(z_j / tau_R), in units of return.

    tau_R in [0, inf]: at 0 the largest atom, at infinity the mean, monotone between. The largest atom is taken out
    first, so small tau_R do not overflow; log1p of expm1 keeps the digits of the mean at large tau_R, and a plain
    log-sum-exp those of a small weight on the largest atom at small ones.
    """
    tau_r = jnp.asarray(tau_r, law.atoms.dtype)
    largest = jnp.max(jnp.where(law.weights > 0, law.atoms, -jnp.inf), axis=-1)
    below = jnp.where(law.weights > 0, law.atoms - largest[..., None], 0.0)
    finite = jnp.where((tau_r > 0) & jnp.isfinite(tau_r), tau_r, 1.0)
    excess = jnp.sum(law.weights * jnp.expm1(below / finite), axis=-1)
    small = logsumexp(below / finite, b=law.weights, axis=-1)
    soft = largest + finite * jnp.where(excess > -0.5, jnp.log1p(jnp.maximum(excess, -0.5)), small)
    return jnp.select([tau_r == 0, jnp.isinf(tau_r)], [largest, mean(law)], soft)


def mid_quantiles(law: ReturnLaw, num: int) -> Float[Array, "*b num"]:
    """The quantiles of a law at the levels (j - 1/2) / num, j = 1..num, in rising order.

    The smallest atom whose cumulative weight exceeds the level; a law of `num` equal weights gives its sorted atoms.
    """
    atoms, cumulative = _rising(law)
    levels = mid_levels(num) * cumulative[..., -1:]
    index = jnp.sum(cumulative[..., None, :] <= levels[..., None], axis=-1)
    return jnp.take_along_axis(atoms, jnp.minimum(index, atoms.shape[-1] - 1), axis=-1)


def quantile_means(law: ReturnLaw, num: int) -> Float[Array, "*b num"]:
    """The means of a law's quantile function over the levels from (j - 1) / num to j / num, j = 1..num, rising.

    As atoms of equal weights they have the law's own mean, whatever its weights; a law of `num` equal weights gives its
    sorted atoms.
    """
    atoms, cumulative = _rising(law)
    ends = jnp.arange(num + 1) / num * cumulative[..., -1:]
    starts = jnp.concatenate([jnp.zeros_like(cumulative[..., :1]), cumulative[..., :-1]], axis=-1)
    upper = jnp.minimum(cumulative[..., None, :], ends[..., 1:, None])
    lower = jnp.maximum(starts[..., None, :], ends[..., :-1, None])
    shares = jnp.maximum(upper - lower, 0.0) * num / cumulative[..., -1:, None]
    return jnp.sum(shares * atoms[..., None, :], axis=-1)


def _rising(law: ReturnLaw) -> tuple[Float[Array, "*b atoms"], Float[Array, "*b atoms"]]:
    """The atoms in rising order, and the weights of all up to each."""
    order = jnp.argsort(law.atoms, axis=-1)
    weights = jnp.take_along_axis(law.weights, order, axis=-1)
    return jnp.take_along_axis(law.atoms, order, axis=-1), jnp.cumsum(weights, axis=-1)


def mid_levels(num: int) -> Float[Array, " num"]:
    """(j - 1/2) / N for j = 1..N: the levels at which N atoms of equal weight are closest to a law in W_1.

    Dabney et al. 2018, "Distributional Reinforcement Learning with Quantile Regression", lemma 2.
    """
    return (jnp.arange(num) + 0.5) / num


def at_level(weights: Float[Array, " cand"], level: Float[Array, ""]) -> Int[Array, ""]:
    """The candidate at `level`, in [0, 1), of the cumulative weights: a draw by weight if the level is uniform."""
    cumulative = jnp.cumsum(weights)
    return jnp.minimum(jnp.sum(cumulative <= level * cumulative[-1]), len(weights) - 1)
