"""Training: blocks of updates in one compiled call each, with exact resume.

Every random number of update k comes from fold_in(key, k). So a run that is stopped and resumed at a block's end makes
the same updates, bit for bit, as one that never stopped.
"""

import functools
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key, PRNGKeyArray

from evor_eqx.config import TrainConfig
from evor_eqx.system.signals import Stopped
from evor_eqx.training.divergence import check_finite
from evor_eqx.training.sampling import (
    HostSampler,
    Sampler,
    Staged,
    block_batches,
    block_size,
    held_out_batch,
    seed_axes,
)
from evor_eqx.training.sharding import spread
from evor_eqx.training.update import Model, TrainState, batch_loss, init_state, init_states, update, update_keys
from evor_eqx.types import Batch, Metrics

Watch = Callable[[int, dict[str, Any], Any], object]  # of the updates done, the block's scalars, the moving average


@runtime_checkable
class Recorder(Protocol):
    """What training needs of a run: the state to start from, checkpoints and rows of metrics. `runs.run.Run` is one."""

    def restore(self, like: TrainState) -> TrainState | None: ...
    def save(self, state: TrainState) -> None: ...
    def log(self, step: int, scalars: dict[str, Any]) -> None: ...


class Memory:
    """A recorder for short trials: keeps the rows of metrics in memory, and no state."""

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


def block(
    sampler: Sampler | Staged,
    validation: Batch,
    keys: tuple[PRNGKeyArray, PRNGKeyArray],
    state: TrainState,
    config: TrainConfig,
    num_updates: int,
    place: Callable[[Batch], Batch] = spread,
) -> tuple[TrainState, Metrics]:
    """A block of updates.

    **Arguments:**

    - `sampler`: where batches come from.
    - `validation`: the held-out batch of `val_loss`, the loss of the moving average.
    - `keys`: of the training (see `update_keys`), and of the held-out loss.
    - `state`: the state before the block.
    - `config`: batch size, optimiser and rate of the moving average.
    - `num_updates`: updates in the block.
    - `place`: places a batch on devices; by default it is spread over those in use.

    **Returns:**

    The state after the block, and its scalars, averaged over the updates.
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
    """A `block` in one compiled call; with a row of keys, one for each of several models side by side.

    The arrays of `state` are given away: they cannot be used afterwards.

    **Arguments:**

    - `inputs`: the sampler, the held-out batch, the key of the training (or a row of keys), and that of the held-out
      loss.
    - `state`, `config`, `num_updates`: as those of `block`.

    **Returns:**

    As `block`; with a row of keys, everything has a leading axis of seeds.
    """
    sampler, validation, keys, val_key = inputs
    if not keys.ndim:
        return block(sampler, validation, (keys, val_key), state, config, num_updates)

    def one(sampler, validation, key, state):
        return block(sampler, validation, (key, val_key), state, config, num_updates, place=lambda batch: batch)

    arrays, static = eqx.partition(state, eqx.is_array)
    axes, val_axis = seed_axes(sampler)
    one_each = eqx.filter_vmap(one, in_axes=(axes, val_axis, 0, eqx.if_array(0)))
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
    """Train to `config.num_updates`, from the recorder's last state if it has one.

    Within `sharding.over_devices`, each batch is spread over the devices or, with a row of keys, the seeds are.

    **Arguments:**

    - `model`: the untrained model. With a row of keys, its arrays have a leading axis of seeds.
    - `sampler`, `val_sampler`: where training and held-out batches come from; with a row of keys, they may be
      `PerSeed`.
    - `config`: how it is trained.
    - `recorder`: keeps checkpoints and rows of metrics. With a row of keys, every scalar is a list.
    - `key`: a random key, or a row of keys, one for each seed.
    - `watch`: called before the first block, without scalars, and after each block. It must not keep the model's
      arrays, which the next block gives away. It may raise `Stopped`: the state is saved, and the exception goes on.
    - `measure`: further scalars of a row, from the moving average.

    **Returns:**

    The moving average.

    **Raises:**

    UserError for a loss or a state that is not finite; the last checkpoint stays as it is.
    """
    train_key, val_rows_key, val_key = _split(key, 3)
    state = init_states(model, config) if key.ndim else init_state(model, config)
    restored = recorder.restore(state)
    state = state if restored is None else restored
    first = (lambda keys: keys[0]) if key.ndim else (lambda keys: keys)
    validation = held_out_batch(val_sampler, 4 * config.batch_size, key=first(val_rows_key))
    step = state.num_updates
    saved = None if restored is None else step
    _tell(watch, {}, state, recorder)
    batches = block_batches(sampler, config, step, key=train_key)
    while step < config.num_updates:
        inputs = (batches, validation, train_key, first(val_key))
        updates = range(step, step + block_size(config, step))
        state, metrics = run_block(inputs, state, config, len(updates))
        batches = block_batches(sampler, config, updates.stop, key=train_key)  # while the device works
        step = state.num_updates
        scalars = {name: np.asarray(value).tolist() for name, value in {**metrics, **measure(state.target)}.items()}
        check_finite(state, scalars["loss"], updates, config.learning_rate, saved, key=train_key)
        recorder.log(step, scalars)
        if step % config.checkpoint_every == 0 or step >= config.num_updates:
            recorder.save(state)
            saved = step
        _tell(watch, scalars, state, recorder)
    return state.target


def _tell(watch: Watch, scalars: dict[str, Any], state: TrainState, recorder: Recorder) -> None:
    """Show a state to the watcher; if it stops the training, the state is saved."""
    try:
        watch(state.num_updates, scalars, state.target)
    except Stopped:
        recorder.save(state)
        raise


@functools.partial(jax.jit, static_argnums=1)
def _split(key: Key[Array, "*seeds"], num: int) -> list[Key[Array, "*seeds"]]:
    """`num` sub-keys, each with the key's own axes."""
    return list(jnp.moveaxis(jax.vmap(lambda k: jax.random.split(k, num))(key.ravel()), 1, 0).reshape(num, *key.shape))
