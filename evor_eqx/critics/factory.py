"""Untrained models: from a configuration, the sizes of the data and the data's own statistics."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from evor_eqx.config import IMPROVERS, CriticConfig
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
from evor_eqx.errors import UserError
from evor_eqx.nn.factory import Statistics, make_features, make_field, make_mlp
from evor_eqx.nn.fields import AbstractField, FactorisedField
from evor_eqx.nn.flow_matching import SOLVERS


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
    inputs = Inputs(make_features(config.network, obs_size, statistics))
    largest = jnp.finfo(jnp.float32).max  # no bound, yet finite as all parameters have to be
    scale = scale or ReturnScale(*map(jnp.asarray, (0.0, 1.0, -largest, largest)))

    def member(member_key):
        return make_member(config, inputs.features.size + chunk_size, inputs, scale, key=member_key)

    if config.kind in IMPROVERS:
        return member(key)  # its members are inside, because each learns from all
    return make_ensemble(member, config.num_members, config.combine, key=key)


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
    inputs, num_tasks = Inputs(make_features(network, obs_size, statistics)), len(scales.shift)
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
    return ScalarCritic(network=make_mlp(config.network, cond_size, 1, key=key), inputs=inputs, scale=scale)


def _gaussian(config, cond_size, inputs, scale, *, key):
    return GaussianCritic(make_mlp(config.network, cond_size, 2, key=key), inputs, scale)


def _c51(config, cond_size, inputs, scale, *, key):
    network = make_mlp(config.network, cond_size, config.num_atoms, key=key)
    return CategoricalCritic(network, inputs, scale, make_support(scale, config.num_atoms))


def _hl_gauss(config, cond_size, inputs, scale, *, key):
    network = make_mlp(config.network, cond_size, config.num_atoms, key=key)
    return HLGaussCritic(network, inputs, scale, make_support(scale, config.num_atoms, PADDING))


def _qr_dqn(config, cond_size, inputs, scale, *, key):
    return QuantileCritic(make_mlp(config.network, cond_size, config.num_atoms, key=key), inputs, scale)


def _iqn(config, cond_size, inputs, scale, *, key):
    sizes = config.network
    network = LevelNetwork(cond_size, sizes.width, sizes.depth, sizes.use_layer_norm, key=key)
    return ImplicitCritic(network, inputs, scale)


def _best_of_n(config, cond_size, inputs, scale, *, key):
    return BestOfNCritic(network=_value_ensemble(config, cond_size, key=key), inputs=inputs, scale=scale)


def _expectile(config, cond_size, inputs, scale, *, key):
    value_key, state_key = jax.random.split(key)
    state_network = make_mlp(config.network, inputs.features.size, 1, key=state_key)
    network = _value_ensemble(config, cond_size, key=value_key)
    return ExpectileCritic(network=network, state_network=state_network, inputs=inputs, scale=scale)


def _value_ensemble(config: CriticConfig, cond_size: int, *, key: jax.Array) -> ValueEnsemble:
    keys = jax.random.split(key, config.num_members)
    networks = eqx.filter_vmap(lambda k: make_mlp(config.network, cond_size, 1, key=k))(keys)
    return ValueEnsemble(networks, config.num_members, config.combine)


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
