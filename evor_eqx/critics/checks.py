"""Whether a critic can be trained and asked: what its `make`, `loss` and `distribution` give."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.factory import blank_scale, make_critic
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.errors import UserError, told
from evor_eqx.types import Batch

NUM_RETURNS = 5


def check_critic(config: CriticConfig, obs_size: int, chunk_size: int) -> None:
    """Trace a critic for one transition. Nothing is computed.

    **Arguments:**

    - `config`: the critic's configuration.
    - `obs_size`, `chunk_size`: sizes of an observation and of a chunk.

    **Raises:**

    UserError that names the method, if it does not run or does not give what `AbstractCritic` says.
    """
    name, key, number = f"critic {config.kind!r}", jax.random.key(0), jnp.zeros(())
    obs, chunk = jnp.zeros(obs_size), jnp.zeros(chunk_size)
    draws = jnp.zeros((max(config.num_bank_draws, 1), chunk_size))
    example = Batch(obs, chunk, number, number, number, jnp.asarray(True), obs, chunk, number, draws)
    with told(f"{name}, make"):
        alone = replace(config, num_members=1)
        critic = eqx.filter_eval_shape(lambda: make_critic(alone, obs_size, chunk_size, key=key, scale=blank_scale()))
    if not isinstance(critic, AbstractCritic):
        raise _refused(f"{name}, make", type(critic).__name__, "an AbstractCritic")
    with told(f"{name}, loss"):
        found = eqx.filter_eval_shape(lambda c, e, k: c.loss(c, e, key=k), critic, example, key)
    _check_loss(f"{name}, loss", found)
    with told(f"{name}, distribution"):
        found = eqx.filter_eval_shape(lambda c, o, a: c.distribution(o, a, NUM_RETURNS, 2), critic, obs, chunk)
    _check_distribution(f"{name}, distribution", found)


def check_values(
    critic: AbstractCritic, name: str, obs: Float[np.ndarray, "rows obs"], chunks: Float[np.ndarray, "rows chunk"]
) -> None:
    """Raise UserError unless a critic's distributions at some rows are finite, with weights that sum to one.

    **Arguments:**

    - `critic`: an untrained critic.
    - `name`: its name, for errors.
    - `obs`, `chunks`: the rows.
    """
    ask = eqx.filter_jit(jax.vmap(lambda obs, chunk: critic.distribution(obs, chunk, NUM_RETURNS, 2)))
    found = ask(jnp.asarray(obs), jnp.asarray(chunks))
    atoms, weights = np.asarray(found.atoms), np.asarray(found.weights)
    what = f"critic {name!r}, distribution"
    if not np.isfinite(atoms).all():
        raise _refused(what, f"atoms {atoms[~np.isfinite(atoms)][0]}", "finite returns, also before the training")
    sums = weights.sum(axis=-1)
    if not ((weights >= 0).all() and np.allclose(sums, 1.0, atol=1e-3)):
        got = f"weights from {weights.min():.3g} to {weights.max():.3g} with the sum {sums.flat[0]:.3g}"
        raise _refused(what, got, "weights of at least 0 with the sum 1")


def _check_loss(what: str, found: Any) -> None:
    if not (isinstance(found, tuple) and len(found) == 2):
        raise _refused(what, _shown(found), "a pair of the loss, a scalar, and a record of metrics")
    loss, metrics = found
    if not _is_number(loss):
        raise _refused(what, _shown(loss), "a scalar")
    if not (isinstance(metrics, dict) and "loss" in metrics and all(map(_is_number, metrics.values()))):
        raise _refused(what, f"metrics {_shown(metrics)}", "a record of scalars, `loss` among them")


def _check_distribution(what: str, found: Any) -> None:
    if not isinstance(found, ReturnDistribution):
        raise _refused(what, f"{type(found).__name__} {_shown(found)}", "a ReturnDistribution")
    shapes = [getattr(each, "shape", None) for each in (found.atoms, found.weights)]
    if shapes[0] != shapes[1] or len(shapes[0] or ()) != 1 or shapes[0] == (0,):
        raise _refused(what, f"atoms {shapes[0]} and weights {shapes[1]}", "[atoms] for both, at least one atom")


def _is_number(leaf: Any) -> bool:
    return getattr(leaf, "shape", None) == () and jnp.issubdtype(leaf.dtype, jnp.floating)


def _shown(found: Any) -> Any:
    def shown(leaf: Any) -> str:
        return f"{leaf.dtype} {leaf.shape}" if hasattr(leaf, "shape") else type(leaf).__name__

    return jax.tree.map(shown, found)


def _refused(what: str, got: Any, expected: str) -> UserError:
    return UserError(f"{what}: got {got}, expected {expected}; mend it")
