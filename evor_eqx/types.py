"""Axis vocabulary and the records that travel between modules.

Axis names used in every annotation: `batch`, `obs`, `act`, `chunk` (h actions flattened, h * act), `rows` (dataset
rows: one state with the action taken there), `cand` (the N_pi candidates), `atoms` (the N returns of a distribution),
`z` (the one-dimensional flow state of a return), `draws` (of the base policy, from its bank).
"""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

AnyArray = Array | np.ndarray  # on the device or on the host
Metrics = dict[str, Float[Array, ""]]


@runtime_checkable
class Choose(Protocol):
    """How a backup chooses among `next_draws`: gives the batch with the chosen one as its `next_chunk`."""

    def __call__(self, critic: Any, batch: "Batch", *, key: PRNGKeyArray) -> "Batch": ...


class Batch(eqx.Module):
    """Windows of the dataset, each from one episode.

    All fields have leading axes `*b`, or none for a single example. For several tasks at once, `reward`, `mask` and
    `mc_return` have a trailing axis of tasks. The Bellman target is `reward + discount * mask * z_next`.

    - `obs`, `next_obs` [obs]: the observations at the start of the window and n steps later, in the environment's
      units.
    - `chunk`, `next_chunk` [h * act]: the h actions that begin there, flattened, in [-1, 1]. `chunk` is the data's. So
      is `next_chunk` without an action bank; with one, it is a draw of the base policy.
    - `reward`: sum_{k<n} gamma^k r_k, the discounted sum of n rewards, up to the end of the task.
    - `discount`: gamma^n for the n steps that were taken; n is smaller near the end of an episode.
    - `mask`: 0 where the task ended inside the window, else 1.
    - `valid`: False where the window would leave its episode.
    - `mc_return`: the recorded discounted return from `obs` on, without what came after the recording.
    - `next_draws` [draws, h * act]: all draws of the bank at `next_obs`, for backups that choose among them; else None.
    - `choose`: how they choose (see `Choose`); None if they take `next_chunk`.
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
    choose: Choose | None = eqx.field(static=True, default=None)
