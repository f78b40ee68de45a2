"""Selection rules: from the candidates' values to their weights.

A rule is a function of (value [cand], tau_q) that gives a weight for each candidate. A candidate that does not count
has the value -inf. `candidate_weights` is EVOR's rule; any other function of this form can take its place.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evor_eqx.errors import UserError, told
from evor_eqx.types import AnyArray

SelectionRule = Callable[[Float[Array, " cand"], Float[Array, ""]], Float[AnyArray, " cand"]]


def candidate_weights(
    value: Float[AnyArray, "*b cand"], tau_q: Float[AnyArray, ""] | float
) -> Float[AnyArray, "*b cand"]:
    """softmax(Q* / tau_Q) over the candidates: EVOR's selection rule.

    **Arguments:**

    - `value`: Q* of each candidate, in units of return; -inf where a candidate does not count. For a NumPy array,
      the weights are computed by NumPy, in the array's precision.
    - `tau_q`: selection temperature in [0, inf], in units of return. 0 is best-of-N (ties shared), infinity uniform.

    **Returns:**

    Weights that are non-negative and sum to one; 0 where a candidate does not count.
    """
    xp = value.__array_namespace__()
    tau_q, counts = xp.asarray(tau_q, dtype=value.dtype), value > -np.inf
    gap = xp.where(counts, value - xp.max(value, axis=-1, keepdims=True), 0.0)
    soft = xp.where(counts, xp.exp(gap / xp.where(tau_q > 0, tau_q, 1.0)), 0.0)
    weights = xp.where(tau_q > 0, soft, xp.where(counts & (gap == 0), 1.0, 0.0))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def selection_weights(
    rule: SelectionRule,
    value: Float[Array, " cand"],
    tau_q: Float[Array, ""] | float,
    num_candidates: int | Int[Array, ""],
) -> Float[Array, " cand"]:
    """The weights by a rule if only some of the candidates count.

    **Arguments:**

    - `rule`: the selection rule.
    - `value`: Q* of all candidates, in units of return.
    - `tau_q`: selection temperature.
    - `num_candidates`: how many count, from the first on; it may be an array.

    **Returns:**

    The rule's weights, and 0 for the candidates that do not count.

    **Raises:**

    UserError if the rule does not run, or gives something else than one weight for each candidate.
    """
    counts = jnp.arange(len(value)) < num_candidates
    with told("selection rule", "it to run on JAX arrays", "mend the rule"):
        weights = rule(jnp.where(counts, value, -jnp.inf), jnp.asarray(tau_q, value.dtype))
    if getattr(weights, "shape", None) != value.shape:
        got = getattr(weights, "shape", type(weights).__name__)
        raise UserError(
            f"weights of the selection rule: got {got}, expected an array of shape {value.shape}, one weight for each "
            "candidate; mend the rule"
        )
    return jnp.where(counts, weights, 0.0)


def check_rule(rule: object) -> None:
    """Raise UserError unless a selection rule is a function."""
    if not callable(rule):
        raise UserError(f"selection: got {rule!r}, expected a function (value, tau_q) -> weights; give the rule itself")


def check_weights(weights: Float[np.ndarray, "*b cand"]) -> None:
    """Raise UserError unless weights are finite, non-negative and sum to 1 within 1e-4, over their last axis."""
    sums = np.atleast_1d(np.sum(weights, axis=-1))
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (np.abs(sums - 1) <= 1e-4).all()):
        worst = sums[np.argmax(np.abs(sums - 1))] if np.isfinite(sums).all() else float("nan")
        raise UserError(
            f"weights of the selection rule: got a sum of {worst:.6g} and a smallest weight of {np.min(weights):.6g}, "
            "expected finite, non-negative weights that sum to 1 over the candidates that count (value > -inf); mend "
            "the rule, or draw more candidates if it needs more"
        )


def capacity(num_candidates: int) -> int:
    """The least power of two that holds `num_candidates`, at least 8: counts of one capacity share compiled code."""
    return max(8, 1 << (num_candidates - 1).bit_length())
