"""Training: many fused updates per compiled call, a moving average of the weights, exact resume.

Every random number of update k comes from fold_in(key, k), so a run that is stopped and resumed at a block's end makes
the same updates, bit for bit, as one that never stopped. Who watches a training may stop it there, and nothing is lost.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float, Int, Key, PRNGKeyArray

from evor_eqx.config import TrainConfig
from evor_eqx.system.signals import Stopped
from evor_eqx.training.divergence import check_finite
from evor_eqx.training.sharding import spread
from evor_eqx.types import Batch, Metrics


@runtime_checkable
class Trainable(Protocol):
    """A model that knows its loss for one example; `target` is its own moving average, a constant to the gradient."""

    def loss(self, target: Any, example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]: ...


@runtime_checkable
class Chooser(Protocol):
    """A model that chooses the next chunk of a batch itself, where the batch has draws to choose from."""

    def choose(self, batch: Batch) -> Batch: ...


Model = TypeVar("Model", bound=Trainable)
Watch = Callable[[int, dict[str, Any], Any], object]  # of the updates done, the block's scalars, the moving average


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


@runtime_checkable
class Sampler(Protocol):
    """Where batches come from: `data.dataset.Windows`, or a process that makes its own. A pytree."""

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch: ...


@runtime_checkable
class HostSampler(Protocol):
    """Where batches come from if the data stay on the host: those of a whole block of updates at once."""

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch: ...
    def stage(self, batch_size: int, *, keys: Key[Array, " updates"]) -> Batch: ...


@runtime_checkable
class PerSeed(Protocol):
    """A sampler of which seeds side by side may have arrays of their own, such as each the bank of its base policy."""

    @property
    def seed_axes(self) -> Any:
        """Which arrays have a leading axis of seeds, as `in_axes` of vmap; None if none have."""


class Staged(eqx.Module):
    """The batches of a block, made beforehand: arrays are [updates, batch, ...]."""

    batches: Batch


@runtime_checkable
class Recorder(Protocol):
    """What training needs of a run: where to start from, and whom to tell. `runs.Run` is one."""

    def restore(self, like: TrainState) -> TrainState | None: ...
    def save(self, state: TrainState) -> None: ...
    def log(self, step: int, scalars: dict[str, Any]) -> None: ...


class Memory:
    """A recorder for trials of seconds: keeps the rows of metrics, starts from nothing, saves nothing."""

    def __init__(self):
        self.rows: list[dict[str, Any]] = []

    def restore(self, like: TrainState) -> TrainState | None:
        return None

    def save(self, state: TrainState) -> None:
        pass

    def log(self, step: int, scalars: dict[str, Any]) -> None:
        self.rows.append({"step": step, **scalars})


def unwatched(step: int, scalars: dict[str, Any], model: Any) -> None:
    """The `Watch` of a training that nobody watches."""


def optimiser(config: TrainConfig) -> optax.GradientTransformation:
    """Adam, at a constant rate or along a cosine to zero."""
    rate = config.learning_rate
    return optax.adam(optax.cosine_decay_schedule(rate, config.num_updates) if config.decay else rate)


@eqx.filter_jit  # one program instead of many small ones
def init_state(model: Trainable, config: TrainConfig) -> TrainState:
    """Update 0: the moving average equals the model; both are copies, because the first update gives its input away."""
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
    """Mean of the model's loss and of its scalars over a batch."""
    if isinstance(model, Chooser) and batch.next_draws is not None:
        batch = model.choose(batch)
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


def ema(target: Model, model: Model, rate: float) -> Model:
    """target + rate (model - target), leaf by leaf."""

    def mix(old, new):
        return old + rate * (new - old) if eqx.is_inexact_array(old) else old

    return jax.tree.map(mix, target, model)


def update_keys(key: PRNGKeyArray, step: Int[Array, ""]) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """The keys of an update: for its batch, and for its loss."""
    batch_key, loss_key = jax.random.split(jax.random.fold_in(key, step))
    return batch_key, loss_key


def block(
    sampler: Sampler | Staged,
    validation: Batch,
    keys: tuple[PRNGKeyArray, PRNGKeyArray],
    state: TrainState,
    config: TrainConfig,
    num_updates: int,
    place: Callable[[Batch], Batch] = spread,
) -> tuple[TrainState, Metrics]:
    """`num_updates` updates, and the means of their scalars; `val_loss` is that of the moving average.

    `place` says where a batch lies: over the devices in use, unless seeds are spread over them.
    """
    key, val_key = keys
    arrays, static = eqx.partition(state, eqx.is_array)

    def body(arrays, batch):
        state = eqx.combine(arrays, static)
        batch_key, loss_key = update_keys(key, state.step)
        if isinstance(sampler, Sampler):
            batch = sampler.sample(config.batch_size, key=batch_key)
        state, metrics = update(state, place(batch), config, key=loss_key)
        return eqx.filter(state, eqx.is_array), metrics

    staged = None if isinstance(sampler, Sampler) else sampler.batches
    arrays, metrics = jax.lax.scan(body, arrays, staged, length=num_updates)
    state = eqx.combine(arrays, static)
    val_loss, _ = batch_loss(state.target, state.target, validation, key=val_key)
    return state, {**jax.tree.map(jnp.mean, metrics), "val_loss": val_loss}


@eqx.filter_jit(donate="all-except-first")
def run_block(
    inputs: tuple[Sampler | Staged, Batch, Key[Array, "*seeds"], PRNGKeyArray],
    state: TrainState,
    config: TrainConfig,
    num_updates: int,
) -> tuple[TrainState, dict[str, Float[Array, "*seeds"]]]:
    """A `block` in one compiled call; with a row of keys, one for each of as many models side by side."""
    sampler, validation, keys, val_key = inputs
    if not keys.ndim:
        return block(sampler, validation, (keys, val_key), state, config, num_updates)

    def one(sampler, validation, key, state):
        return block(sampler, validation, (key, val_key), state, config, num_updates, place=lambda batch: batch)

    arrays, static = eqx.partition(state, eqx.is_array)
    seed_axes, val_axis = _seed_axes(sampler)
    one_each = eqx.filter_vmap(one, in_axes=(seed_axes, val_axis, 0, eqx.if_array(0)))
    return one_each(sampler, validation, spread(keys), eqx.combine(spread(arrays), static))


def fit(
    model: Model,
    sampler: Sampler | HostSampler,
    val_sampler: Sampler | HostSampler,
    config: TrainConfig,
    recorder: Recorder,
    *,
    key: Key[Array, "*seeds"],
    watch: Watch = unwatched,
    measure: Callable[[Model], dict[str, ArrayLike]] = lambda model: {},
) -> Model:
    """Train to `config.num_updates`, from the recorder's last state if it has one; returns the moving average.

    With a row of keys, `model` is as many models with a leading axis on their arrays (several seeds by vmap), samplers
    may have arrays `PerSeed`, and every scalar in the record is a list. What `measure` says of the moving average joins
    the record of a block. `watch` is called before the first block, without scalars, and after each; the next block
    gives the arrays of the model that it sees away. It may raise `Stopped`: the state is saved, and the exception goes
    on. A loss or a state that is not finite raises UserError and leaves the last checkpoint in place.

    Inside `devices.over_devices` each batch is spread over the devices or, with a row of keys, the seeds are.
    """
    train_key, val_rows_key, val_key = _split(key, 3)
    state = init_states(model, config) if key.ndim else init_state(model, config)
    restored = recorder.restore(state)
    state = state if restored is None else restored
    first = (lambda keys: keys[0]) if key.ndim else (lambda keys: keys)
    validation = _validation(val_sampler, 4 * config.batch_size, key=first(val_rows_key))
    step = state.num_updates
    saved = None if restored is None else step
    _tell(watch, {}, state, recorder)
    batches = _batches(sampler, config, step, key=train_key)
    while step < config.num_updates:
        inputs = (batches, validation, train_key, first(val_key))
        updates = range(step, step + _block_size(config, step))
        state, metrics = run_block(inputs, state, config, len(updates))
        batches = _batches(sampler, config, updates.stop, key=train_key)  # while the device works
        step = state.num_updates
        scalars = {name: np.asarray(value).tolist() for name, value in {**metrics, **measure(state.target)}.items()}
        check_finite(state, scalars["loss"], updates, config.learning_rate, saved, key=train_key)
        recorder.log(step, scalars)
        if step % config.checkpoint_every == 0 or step >= config.num_updates:
            recorder.save(state)
            saved = step
        _tell(watch, scalars, state, recorder)
    return state.target


def _validation(sampler: Sampler | HostSampler, batch_size: int, *, key: PRNGKeyArray) -> Batch:
    """One batch for all seeds or, where seeds have arrays of their own, the same rows for each."""
    if isinstance(sampler, HostSampler):
        return sampler.sample(batch_size, key=key)

    def sample(sampler):
        return sampler.sample(batch_size, key=key)

    seed_axes, val_axis = _seed_axes(sampler)
    return eqx.filter_jit(sample if val_axis is None else eqx.filter_vmap(sample, in_axes=(seed_axes,)))(sampler)


def _seed_axes(sampler: Any) -> tuple[Any, int | None]:
    """The axes of seeds of a sampler's arrays, and of the batches that it gives to seeds side by side."""
    axes = sampler.seed_axes if isinstance(sampler, PerSeed) else None
    return axes, None if axes is None else 0


def _tell(watch: Watch, scalars: dict[str, Any], state: TrainState, recorder: Recorder) -> None:
    """Let the watcher look at a state, which is saved if that is where it stops."""
    try:
        watch(state.num_updates, scalars, state.target)
    except Stopped:
        recorder.save(state)
        raise


def _block_size(config: TrainConfig, step: int) -> int:
    return min(config.log_every, config.num_updates - step)


def _batches(sampler: Sampler | HostSampler, config: TrainConfig, step: int, *, key: Key[Array, "*seeds"]) -> Any:
    """What the block from `step` on draws its batches from; the sampler itself if it need not be staged."""
    if not isinstance(sampler, HostSampler) or step >= config.num_updates:
        return sampler
    keys = jax.vmap(lambda k: update_keys(key, k)[0])(jnp.arange(step, step + _block_size(config, step)))
    return Staged(spread(sampler.stage(config.batch_size, keys=keys), axis=1))


@functools.partial(jax.jit, static_argnums=1)
def _split(key: Key[Array, "*seeds"], num: int) -> list[Key[Array, "*seeds"]]:
    """`num` sub-keys, each with the key's own axes."""
    return list(jnp.moveaxis(jax.vmap(lambda k: jax.random.split(k, num))(key.ravel()), 1, 0).reshape(num, *key.shape))
