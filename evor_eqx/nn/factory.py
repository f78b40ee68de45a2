"""Makes networks from their configuration."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from evor_eqx.config import FieldConfig, NetworkConfig
from evor_eqx.nn.features import ObservationFeatures
from evor_eqx.nn.fields import AbstractField, FactorisedField, MLPField
from evor_eqx.nn.mlp import MLP

Statistics = tuple[Float[Array, " obs"], Float[Array, " obs"]]  # mean and standard deviation of the observations


def make_field(config: FieldConfig, x_size: int, cond_size: int, *, key: jax.Array) -> AbstractField:
    """Make a velocity field: an `MLPField` if `head_width` is 0, else a `FactorisedField`."""
    shape = (config.width, config.depth)
    options = (config.use_layer_norm, config.num_frequencies, config.num_state_frequencies)
    if config.head_width == 0:
        return MLPField(x_size, cond_size, *shape, *options, key=key)
    return FactorisedField(x_size, cond_size, *shape, config.head_width, *options, key=key)


def make_mlp(config: NetworkConfig, in_size: int, out_size: int, *, key: jax.Array) -> MLP:
    """Make a multi-layer perceptron."""
    return MLP(in_size, out_size, config.width, config.depth, config.use_layer_norm, key=key)


def make_features(config: NetworkConfig, obs_size: int, statistics: Statistics | None) -> ObservationFeatures:
    """Make a network's features of the observation. Without statistics, observations are not rescaled."""
    mean, std = statistics or (jnp.zeros(obs_size), jnp.ones(obs_size))
    if config.obs_units == "common":
        std = jnp.full_like(std, jnp.median(std))
    return ObservationFeatures(mean, std, config.num_obs_frequencies)
