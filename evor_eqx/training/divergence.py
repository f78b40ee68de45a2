"""Divergence: a loss or a parameter that is not finite ends a training with a message that helps to find the cause."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key

from evor_eqx.errors import UserError


def check_finite(
    state: Any,
    loss: float | Sequence[float],
    updates: range,
    learning_rate: float,
    saved: int | None,
    *,
    key: Key[Array, "*seeds"],
) -> None:
    """Raise UserError unless the loss of a block and every number of the state after it are finite.

    The message names the updates, the key of their batches (`update.update_keys`), the last checkpoint and what to do.

    **Arguments:**

    - `state`: the training state after the block.
    - `loss`: the block's mean loss. With a row of keys, loss and state have an entry for each seed, and the message
      names the first seed that diverged.
    - `updates`: the updates of the block.
    - `learning_rate`: Adam's step size.
    - `saved`: updates of the last checkpoint; None without one.
    - `key`: the key of the training, or a row of keys.
    """
    finite = np.atleast_1d(np.isfinite(loss) & np.asarray(_all_finite(state, key.ndim)))
    if finite.all():
        return
    first = int(np.argmin(finite))
    value, words = float(np.atleast_1d(loss)[first]), jax.random.key_data(key).reshape(len(finite), -1)[first].tolist()
    seed = f" of seed {first} of {len(finite)}" if key.ndim else ""
    kept = "no checkpoint was saved yet" if saved is None else f"the checkpoint of {saved} updates is kept"
    raise UserError(
        f"training diverged{seed} in updates {updates[0] + 1} to {updates[-1] + 1}: "
        f"{'the parameters are not finite' if np.isfinite(value) else f'loss is {value}'} (their batches: update_keys("
        f"key, {updates[0]}) to {updates[-1]}, key data {words}); {kept}; lower learning_rate ({learning_rate})"
    )


@eqx.filter_jit
def _all_finite(state: Any, num_axes: int) -> Bool[Array, "*seeds"]:
    """Whether all inexact arrays of a state are finite, over all but their first `num_axes` axes."""
    leaves = jax.tree.leaves(eqx.filter(state, eqx.is_inexact_array))
    finite = [jnp.isfinite(leaf).all(axis=tuple(range(num_axes, leaf.ndim))) for leaf in leaves]
    return jnp.stack(finite).all(axis=0)
