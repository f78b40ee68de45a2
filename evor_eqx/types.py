"""Axis vocabulary and the records that travel between modules.

Axis names used in every annotation: `batch`, `obs`, `act`, `chunk` (h actions flattened, h * act), `rows` (dataset
rows: one state with the action taken there), `cand` (the N_pi candidates), `atoms` (the N returns of a distribution),
`z` (the one-dimensional flow state of a return), `draws` (of the base policy, from its bank).
"""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float

AnyArray = Array | np.ndarray  # on the device or on the host
Metrics = dict[str, Float[Array, ""]]


class Batch(eqx.Module):
    """Windows of the dataset, each from one episode (leading axes `*b`; none for a single example).

    `reward` is the discounted n-step reward sum_{k<n} gamma^k r_k, cut where the task ends; `discount` is
    gamma^n for the n steps that were taken (fewer at the end of an episode); `mask` is 0 where the task ended
    inside the window, so the Bellman target reads `reward + discount * mask * z_next`. For several tasks at once
    `reward`, `mask` and `mc_return` have a trailing axis of tasks. `next_draws` is there for critics that look at all
    draws of the base policy at `next_obs`.
    """

    obs: Float[Array, "*b obs"]
    chunk: Float[Array, "*b chunk"]
    reward: Float[Array, "*b_tasks"]
    discount: Float[Array, "*b"]
    mask: Float[Array, "*b_tasks"]
    valid: Bool[Array, "*b"]
    next_obs: Float[Array, "*b obs"]
    next_chunk: Float[Array, "*b chunk"]
    mc_return: Float[Array, "*b_tasks"]
    next_draws: Float[Array, "*b draws chunk"] | None = None
