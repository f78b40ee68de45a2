"""Untrained critics: from a configuration, the sizes of the data and the data's own statistics."""

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic, CriticInputs, ReturnScale
from evor_eqx.critics.ensemble import make_ensemble
from evor_eqx.nn.factory import Statistics, make_features


def make_critic(
    config: CriticConfig,
    obs_size: int,
    chunk_size: int,
    *,
    key: PRNGKeyArray,
    statistics: Statistics | None = None,
    scale: ReturnScale | None = None,
) -> AbstractCritic:
    """An untrained critic, or an ensemble of them.

    **Arguments:**

    - `config`: the critic's own configuration; its `make` makes each member.
    - `obs_size`, `chunk_size`: sizes of an observation and of a chunk (h actions, flattened).
    - `key`: a random key for the initial weights.
    - `statistics`: mean and standard deviation of the observations; without them, networks see these as they are.
    - `scale`: between returns and the model's unit; without one, returns are taken as they are, without bounds.

    **Raises:**

    UserError for a critic with fixed atoms whose range of returns has no end, as without a scale.
    """
    inputs = CriticInputs(make_features(config.network, obs_size, statistics), chunk_size)
    largest = jnp.finfo(jnp.float32).max  # no bound, yet finite as all parameters have to be
    scale = scale or ReturnScale(*map(jnp.asarray, (0.0, 1.0, -largest, largest)))

    def member(member_key: jax.Array) -> AbstractCritic:
        return config.make(inputs, scale, key=member_key)

    if config.has_own_members:
        return member(key)
    return make_ensemble(member, config.num_members, config.combine, key=key)


def blank_scale() -> ReturnScale:
    """A scale for critics of which only the structure counts. Also while shapes are traced it holds numbers."""
    with jax.ensure_compile_time_eval():  # histograms check their range
        return ReturnScale(*map(jnp.asarray, (0.0, 1.0, -1.0, 1.0)))
