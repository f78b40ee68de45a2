"""One update: the gradient of the batch's mean loss, a step of Adam, and a step of the moving average."""

from typing import Any, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.config import TrainConfig
from evor_eqx.types import Batch, Metrics


@runtime_checkable
class Trainable(Protocol):
    """A model that knows its loss for one example; `target` is its own moving average, a constant to the gradient."""

    def loss(self, target: Any, example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]: ...


Model = TypeVar("Model", bound=Trainable)
Tree = TypeVar("Tree")
_CHOICE_KEY = 2**31 - 1  # folded into the key of a batch's loss for the choice among draws


class TrainState(eqx.Module):
    """All that changes during training."""

    model: Any
    target: Any  # the moving average: target network while training, and the model that is used afterwards
    opt_state: optax.OptState
    step: Int[Array, "*seeds"]

    @property
    def num_updates(self) -> int:
        """Updates done so far."""
        return int(self.step.ravel()[0])


def optimiser(config: TrainConfig) -> optax.GradientTransformation:
    """Adam, at a constant rate or along a cosine to zero."""
    rate = config.learning_rate
    return optax.adam(optax.cosine_decay_schedule(rate, config.num_updates) if config.decay else rate)


@eqx.filter_jit  # one program instead of many small ones
def init_state(model: Trainable, config: TrainConfig) -> TrainState:
    """The state before the first update. The moving average equals the model.

    Both are copies of `model`, because the first update reuses the memory of its input.
    """
    # A weak type (of an array made of a Python number) would turn into a plain one, and compile everything again.
    first, second = (
        jax.tree.map(lambda leaf: jnp.array(leaf, leaf.dtype, copy=True) if eqx.is_array(leaf) else leaf, model)
        for _ in range(2)
    )
    opt_state = optimiser(config).init(eqx.filter(first, eqx.is_inexact_array))
    return TrainState(first, second, opt_state, jnp.zeros((), jnp.int32))


@eqx.filter_jit
def init_states(models: Trainable, config: TrainConfig) -> TrainState:
    """`init_state` of several models, whose arrays carry a leading axis of seeds."""
    return eqx.filter_vmap(lambda one: init_state(one, config))(models)


def batch_loss(model: Model, target: Model, batch: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
    """Mean of the model's loss and of its scalars over a batch.

    If backups choose among draws of the base policy at the next states, the model (a critic) first chooses.

    **Arguments:**

    - `model`: the model that is trained.
    - `target`: its moving average, a constant to the gradient.
    - `batch`: windows with a leading axis of examples.
    - `key`: a random key; each example gets its own.
    """
    if batch.choose is not None:
        batch = batch.choose(model, batch, key=jax.random.fold_in(key, _CHOICE_KEY))
    keys = jax.random.split(key, batch.reward.shape[0])
    losses, metrics = jax.vmap(lambda example, k: model.loss(target, example, key=k))(batch, keys)
    return jnp.mean(losses), jax.tree.map(jnp.mean, metrics)


def update(state: TrainState, batch: Batch, config: TrainConfig, *, key: PRNGKeyArray) -> tuple[TrainState, Metrics]:
    """One Adam step on the batch's mean loss, then one step of the moving average."""
    gradient, metrics = eqx.filter_grad(batch_loss, has_aux=True)(state.model, state.target, batch, key=key)
    changes, opt_state = optimiser(config).update(gradient, state.opt_state)
    model = eqx.apply_updates(state.model, changes)
    target = ema(state.target, model, config.ema_rate)
    return TrainState(model, target, opt_state, state.step + 1), metrics


def ema(target: Tree, model: Tree, rate: float) -> Tree:
    """target + rate (model - target), leaf by leaf."""

    def mix(old, new):
        return old + rate * (new - old) if eqx.is_inexact_array(old) else old

    return jax.tree.map(mix, target, model)


def update_keys(key: PRNGKeyArray, step: Int[Array, ""]) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """The keys of an update: for its batch, and for its loss."""
    batch_key, loss_key = jax.random.split(jax.random.fold_in(key, step))
    return batch_key, loss_key
