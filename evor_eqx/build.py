"""Untrained models: from a configuration, the sizes of the data and the data's own statistics."""

import jax
import jax.numpy as jnp
import numpy as np

from evor_eqx.config import CriticConfig, NetworkConfig, PolicyConfig
from evor_eqx.critics.abstract import AbstractCritic, Inputs, ReturnScale
from evor_eqx.critics.ensemble import make_ensemble
from evor_eqx.critics.flow import FlowCritic
from evor_eqx.critics.targets import TARGETS
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.networks import AbstractField, FactorisedField, MLPField, Normaliser
from evor_eqx.policy import FlowPolicy


def make_field(config: NetworkConfig, x_size: int, cond_size: int, *, key: jax.Array) -> AbstractField:
    """The velocity field that a network configuration describes."""
    if config.head_width == 0:
        return MLPField(x_size, cond_size, config.width, config.depth, config.use_layer_norm, key=key)
    return FactorisedField(
        x_size, cond_size, config.width, config.depth, config.head_width, config.use_layer_norm, key=key
    )


def make_policy(
    config: PolicyConfig, obs_size: int, chunk_size: int, *, key: jax.Array, normalise: Normaliser | None = None
) -> FlowPolicy:
    """An untrained base policy; without statistics its normaliser is the identity."""
    field = make_field(config.network, chunk_size, obs_size, key=key)
    return FlowPolicy(field, normalise or identity_normaliser(obs_size), chunk_size)


def make_critic(
    config: CriticConfig,
    obs_size: int,
    chunk_size: int,
    *,
    key: jax.Array,
    normalise: Normaliser | None = None,
    scale: ReturnScale | None = None,
) -> AbstractCritic:
    """An untrained critic; without statistics its normaliser and scale are the identity."""

    def member(member_key):
        return FlowCritic(
            field=make_field(config.network, 1, obs_size + chunk_size, key=member_key),
            inputs=Inputs(normalise or identity_normaliser(obs_size)),
            scale=scale or ReturnScale(*map(jnp.asarray, (0.0, 1.0, -1e9, 1e9))),
            flow_target=TARGETS[config.target],
            num_target_steps=config.num_target_steps,
            control_variate=config.control_variate,
        )

    return make_ensemble(member, config.num_members, config.combine, key=key)


def identity_normaliser(obs_size: int) -> Normaliser:
    """Leaves observations as they are."""
    return Normaliser(jnp.zeros(obs_size), jnp.ones(obs_size))


def observation_statistics(dataset: OfflineDataset) -> Normaliser:
    """Mean and standard deviation of the dataset's observations; a constant coordinate keeps its unit."""
    std = dataset.obs.std(axis=0)
    return Normaliser(jnp.asarray(dataset.obs.mean(axis=0)), jnp.asarray(np.where(std > 1e-6, std, 1.0)))


def return_statistics(dataset: OfflineDataset, gamma: float) -> ReturnScale:
    """Shift and scale from the recorded returns, range from the rewards: [r_min, r_max] / (1 - gamma) and 0."""
    returns = dataset.mc_returns(gamma)[0][dataset.transitions]
    rewards = dataset.reward[dataset.transitions]
    low, high = min(0.0, rewards.min() / (1 - gamma)), max(0.0, rewards.max() / (1 - gamma))
    return ReturnScale(*(jnp.asarray(v, jnp.float32) for v in (returns.mean(), max(returns.std(), 1e-3), low, high)))
