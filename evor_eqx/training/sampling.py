"""Where training gets its batches: on the device inside the compiled update, or staged from the host block by block."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PRNGKeyArray

from evor_eqx.config import TrainConfig
from evor_eqx.training.sharding import spread
from evor_eqx.training.update import update_keys
from evor_eqx.types import Batch


@runtime_checkable
class Sampler(Protocol):
    """Where batches come from: `data.windows.Windows`, or a process that makes its own. A pytree."""

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch: ...


@runtime_checkable
class HostSampler(Protocol):
    """Where batches come from if the data stay on the host; `stage` gives those of a whole block of updates."""

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch: ...
    def stage(self, batch_size: int, *, keys: Key[Array, " updates"]) -> Batch: ...


@runtime_checkable
class PerSeed(Protocol):
    """A sampler with some arrays per seed, such as an action bank for each seed's base policy."""

    @property
    def seed_axes(self) -> Any:
        """Which arrays have a leading axis of seeds, as `in_axes` of vmap; None if none have."""


class Staged(eqx.Module):
    """The batches of a block, made beforehand: arrays are [updates, batch, ...]."""

    batches: Batch


def block_size(config: TrainConfig, step: int) -> int:
    """Updates in the block that begins after `step` updates."""
    return min(config.log_every, config.num_updates - step)


def block_batches(sampler: Sampler | HostSampler, config: TrainConfig, step: int, *, key: Key[Array, "*seeds"]) -> Any:
    """What the block that begins after `step` updates draws from: the sampler itself, or batches staged by the host."""
    if not isinstance(sampler, HostSampler) or step >= config.num_updates:
        return sampler
    keys = jax.vmap(lambda k: update_keys(key, k)[0])(jnp.arange(step, step + block_size(config, step)))
    return Staged(spread(sampler.stage(config.batch_size, keys=keys), axis=1))


def held_out_batch(sampler: Sampler | HostSampler, batch_size: int, *, key: PRNGKeyArray) -> Batch:
    """One batch for all seeds; the same rows for each where seeds have arrays of their own."""
    if isinstance(sampler, HostSampler):
        return sampler.sample(batch_size, key=key)

    def sample(sampler):
        return sampler.sample(batch_size, key=key)

    axes, val_axis = seed_axes(sampler)
    return eqx.filter_jit(sample if val_axis is None else eqx.filter_vmap(sample, in_axes=(axes,)))(sampler)


def seed_axes(sampler: Any) -> tuple[Any, int | None]:
    """The axes of seeds of a sampler's arrays, and of the batches that it gives to seeds side by side."""
    axes = sampler.seed_axes if isinstance(sampler, PerSeed) else None
    return axes, None if axes is None else 0
