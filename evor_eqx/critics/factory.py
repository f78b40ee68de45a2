"""Untrained models: from a configuration, the sizes of the data and the data's own statistics."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from evor_eqx.config import IMPROVERS, CriticConfig, NetworkConfig, PolicyConfig, from_record
from evor_eqx.critics.base import AbstractCritic, Inputs, ReturnScale
from evor_eqx.critics.best_of_n import BestOfNCritic
from evor_eqx.critics.categorical import PADDING, CategoricalCritic, HLGaussCritic, make_support
from evor_eqx.critics.ensemble import ValueEnsemble, make_ensemble
from evor_eqx.critics.expectile import ExpectileCritic
from evor_eqx.critics.flow import FlowCritic
from evor_eqx.critics.flow_targets import TARGETS
from evor_eqx.critics.gaussian import GaussianCritic
from evor_eqx.critics.iqn import ImplicitCritic, LevelNetwork
from evor_eqx.critics.multitask import Features, SharedCritic
from evor_eqx.critics.quantile import QuantileCritic
from evor_eqx.critics.scalar import ScalarCritic
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.errors import UserError
from evor_eqx.nn.fields import MLP, AbstractField, FactorisedField, MLPField, ObservationFeatures
from evor_eqx.nn.flow_matching import SOLVERS
from evor_eqx.policy import FlowPolicy

Statistics = tuple[Float[Array, " obs"], Float[Array, " obs"]]  # mean and standard deviation of the observations


def make_field(config: NetworkConfig, x_size: int, cond_size: int, *, key: jax.Array) -> AbstractField:
    """The velocity field that a network configuration describes."""
    shape = (config.width, config.depth)
    options = (config.use_layer_norm, config.num_frequencies)
    if config.head_width == 0:
        return MLPField(x_size, cond_size, *shape, *options, key=key)
    return FactorisedField(x_size, cond_size, *shape, config.head_width, *options, key=key)


def make_policy(
    config: PolicyConfig, obs_size: int, chunk_size: int, *, key: jax.Array, statistics: Statistics | None = None
) -> FlowPolicy:
    """An untrained base policy; without statistics it takes observations as they are."""
    features = _features(config.network, obs_size, statistics)
    field = make_field(config.network, chunk_size, features.size, key=key)
    return FlowPolicy(field, features, chunk_size, SOLVERS[config.solver])


def make_critic(
    config: CriticConfig,
    obs_size: int,
    chunk_size: int,
    *,
    key: jax.Array,
    statistics: Statistics | None = None,
    scale: ReturnScale | None = None,
) -> AbstractCritic:
    """An untrained critic; without statistics it takes observations, and without a scale returns, as they are.

    Raises UserError for a histogram whose range of returns has no end, as without a scale.
    """
    make_member = MEMBERS[config.kind]
    inputs = Inputs(_features(config.network, obs_size, statistics))
    largest = jnp.finfo(jnp.float32).max  # no bound, yet finite as all parameters have to be
    scale = scale or ReturnScale(*map(jnp.asarray, (0.0, 1.0, -largest, largest)))

    def member(member_key):
        return make_member(config, inputs.features.size + chunk_size, inputs, scale, key=member_key)

    if config.kind in IMPROVERS:
        return member(key)  # its members are inside, because each learns from all
    return make_ensemble(member, config.num_members, config.combine, key=key)


def blank_policy(record: dict[str, Any], sizes: dict[str, Any]) -> FlowPolicy:
    """A policy of a recorded configuration, with weights of no meaning: the shape to read recorded ones into."""
    return make_policy(from_record(PolicyConfig, record), **sizes, key=jax.random.key(0))


def blank_critic(record: dict[str, Any], sizes: dict[str, Any]) -> AbstractCritic:
    """A critic of a recorded configuration, as `blank_policy`."""
    with jax.ensure_compile_time_eval():  # numbers also where only shapes are asked for: histograms check their range
        scale = ReturnScale(*map(jnp.asarray, (0.0, 1.0, -1.0, 1.0)))
    return make_critic(from_record(CriticConfig, record), **sizes, key=jax.random.key(0), scale=scale)


def check_shareable(config: CriticConfig) -> None:
    """Raise UserError unless the critic is a flow with a factorised field whose backups take any draw."""
    head_width = config.network.head_width
    if config.kind != "flow" or head_width == 0 or config.next_draw != "any":
        got = f"kind {config.kind!r}, head_width {head_width}, next_draw {config.next_draw!r}"
        raise UserError(
            "tasks share an encoder only in a flow with a factorised field whose backups take any draw, got "
            f"{got}; set head_width to 64 and next_draw to any"
        )


def make_shared_critic(
    config: CriticConfig,
    obs_size: int,
    chunk_size: int,
    scales: ReturnScale,
    *,
    key: jax.Array,
    statistics: Statistics | None = None,
) -> AbstractCritic:
    """Untrained flow critics of several tasks on one encoder; `scales` holds one return scale per task, stacked.

    Raises UserError as `check_shareable`.
    """
    check_shareable(config)
    network = config.network
    inputs, num_tasks = Inputs(_features(network, obs_size, statistics)), len(scales.shift)
    options = (network.use_layer_norm, network.num_frequencies)

    def head(scale, head_key):
        field = FactorisedField(1, network.width, network.width, 0, network.head_width, *options, key=head_key)
        return _flow_on(config, field, None, scale)

    def member(member_key):
        features_key, heads_key = jax.random.split(member_key)
        cond_size, shape = inputs.features.size + chunk_size, (network.width, network.depth, network.use_layer_norm)
        features = Features(inputs, cond_size, *shape, key=features_key)
        heads = eqx.filter_vmap(head)(scales, jax.random.split(heads_key, num_tasks))
        return SharedCritic(features, heads, num_tasks)

    return make_ensemble(member, config.num_members, config.combine, key=key)


def _flow(config: CriticConfig, cond_size: int, inputs: Inputs, scale: ReturnScale, *, key: jax.Array) -> FlowCritic:
    return _flow_on(config, make_field(config.network, 1, cond_size, key=key), inputs, scale)


def _flow_on(config: CriticConfig, field: AbstractField, inputs: Inputs | None, scale: ReturnScale) -> FlowCritic:
    return FlowCritic(
        field=field,
        inputs=inputs,
        scale=scale,
        solver=SOLVERS[config.solver],
        flow_target=TARGETS[config.target],
        num_target_steps=config.num_target_steps,
        control_variate=config.control_variate,
    )


def _scalar(config, cond_size, inputs, scale, *, key):
    return ScalarCritic(network=_mlp(config.network, cond_size, 1, key=key), inputs=inputs, scale=scale)


def _gaussian(config, cond_size, inputs, scale, *, key):
    return GaussianCritic(_mlp(config.network, cond_size, 2, key=key), inputs, scale)


def _c51(config, cond_size, inputs, scale, *, key):
    network = _mlp(config.network, cond_size, config.num_atoms, key=key)
    return CategoricalCritic(network, inputs, scale, make_support(scale, config.num_atoms))


def _hl_gauss(config, cond_size, inputs, scale, *, key):
    network = _mlp(config.network, cond_size, config.num_atoms, key=key)
    return HLGaussCritic(network, inputs, scale, make_support(scale, config.num_atoms, PADDING))


def _qr_dqn(config, cond_size, inputs, scale, *, key):
    return QuantileCritic(_mlp(config.network, cond_size, config.num_atoms, key=key), inputs, scale)


def _iqn(config, cond_size, inputs, scale, *, key):
    sizes = config.network
    network = LevelNetwork(cond_size, sizes.width, sizes.depth, sizes.use_layer_norm, key=key)
    return ImplicitCritic(network, inputs, scale)


def _best_of_n(config, cond_size, inputs, scale, *, key):
    return BestOfNCritic(network=_value_ensemble(config, cond_size, key=key), inputs=inputs, scale=scale)


def _expectile(config, cond_size, inputs, scale, *, key):
    value_key, state_key = jax.random.split(key)
    state_network = _mlp(config.network, inputs.features.size, 1, key=state_key)
    network = _value_ensemble(config, cond_size, key=value_key)
    return ExpectileCritic(network=network, state_network=state_network, inputs=inputs, scale=scale)


def _value_ensemble(config: CriticConfig, cond_size: int, *, key: jax.Array) -> ValueEnsemble:
    keys = jax.random.split(key, config.num_members)
    networks = eqx.filter_vmap(lambda k: _mlp(config.network, cond_size, 1, key=k))(keys)
    return ValueEnsemble(networks, config.num_members, config.combine)


def _mlp(config: NetworkConfig, in_size: int, out_size: int, *, key: jax.Array) -> MLP:
    return MLP(in_size, out_size, config.width, config.depth, config.use_layer_norm, key=key)


# One critic of each kind that `config.CRITICS` names; an improver with all of its members.
MEMBERS: dict[str, Callable[..., AbstractCritic]] = {
    "flow": _flow,
    "scalar": _scalar,
    "gaussian": _gaussian,
    "c51": _c51,
    "hl_gauss": _hl_gauss,
    "qr_dqn": _qr_dqn,
    "iqn": _iqn,
    "best_of_n": _best_of_n,
    "expectile": _expectile,
}


def _features(config: NetworkConfig, obs_size: int, statistics: Statistics | None) -> ObservationFeatures:
    mean, std = statistics or (jnp.zeros(obs_size), jnp.ones(obs_size))
    if config.obs_units == "common":
        std = jnp.full_like(std, jnp.median(std))
    return ObservationFeatures(mean, std, config.num_obs_frequencies)


def observation_statistics(dataset: OfflineDataset) -> Statistics:
    """Mean and standard deviation of the dataset's observations; a constant coordinate keeps its unit.

    Summed in double precision, a part of the rows at a time, about the first row: single-precision sums over a million
    rows are wrong by many times the deviation of what hardly varies.
    """
    first = dataset.pieces[0].obs[0].astype(np.float64)
    count, total, squares = 0, np.zeros_like(first), np.zeros_like(first)
    for piece in dataset.pieces:
        for start in range(0, len(piece.obs), 2**16):
            away = piece.obs[start : start + 2**16] - first
            count, total, squares = count + len(away), total + away.sum(axis=0), squares + (away**2).sum(axis=0)
    shift = total / count
    std = np.sqrt(np.maximum(squares / count - shift**2, 0.0))
    return jnp.asarray(first + shift, jnp.float32), jnp.asarray(np.where(std > 1e-6, std, 1.0), jnp.float32)


def return_statistics(dataset: OfflineDataset, gamma: float) -> ReturnScale:
    """Shift and scale from the recorded returns, range from the rewards: [r_min, r_max] / (1 - gamma) and 0."""
    returns = dataset.mc_returns(gamma)[0][dataset.transitions]
    rewards = dataset.reward[dataset.transitions]
    low, high = min(0.0, rewards.min() / (1 - gamma)), max(0.0, rewards.max() / (1 - gamma))
    return ReturnScale(*(jnp.asarray(v, jnp.float32) for v in (returns.mean(), max(returns.std(), 1e-3), low, high)))
