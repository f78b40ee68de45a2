"""Selection rules: from the candidates' values to their weights."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.distributions import at_level


def candidate_weights(
    value: Float[Array, " cand"],
    tau_q: Float[Array, ""] | float,
    num_candidates: int | Int[Array, ""] | None = None,
) -> Float[Array, " cand"]:
    """softmax(Q* / tau_Q) over the candidates; tau_Q in [0, inf]: 0 is best-of-N (ties shared), infinity uniform.

    With `num_candidates`, in [1, cand], only the first so many count; the others get weight 0.
    """
    tau_q = jnp.asarray(tau_q, value.dtype)
    counts = jnp.arange(len(value)) < (len(value) if num_candidates is None else num_candidates)
    gap = value - jnp.max(value, where=counts, initial=-jnp.inf)
    soft = jax.nn.softmax(gap / jnp.where(tau_q > 0, tau_q, 1.0), where=counts)
    best = jnp.where(counts & (gap == 0), 1.0, 0.0)
    return jnp.where(tau_q > 0, soft, best / jnp.sum(best))


def capacity(num_candidates: int) -> int:
    """The least power of two that holds `num_candidates`, at least 8: counts of one capacity share compiled code."""
    return max(8, 1 << (num_candidates - 1).bit_length())


def select(weights: Float[Array, " cand"], *, key: PRNGKeyArray) -> Int[Array, ""]:
    """Draw a candidate by its weight."""
    return at_level(weights, jax.random.uniform(key))
