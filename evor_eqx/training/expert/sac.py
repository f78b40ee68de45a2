"""Soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905), as OGBench's authors train their experts.

- Critics: Q_i(s, a) regresses on r + gamma m (min_j Qbar_j(s', a') - alpha log pi(a'|s')) with a' ~ pi(.|s').
- Actor: minimises alpha log pi(a|s) - min_i Q_i(s, a) with a ~ pi(.|s), a Gaussian squashed by tanh.
- Temperature: alpha grows while the entropy is below its target, and falls while it is above.

One Adam step moves all three. The target networks Qbar are moving averages of the critics.
"""

from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.nn.mlp import MLP
from evor_eqx.system.checked import Checked, within
from evor_eqx.training.update import ema, update_keys
from evor_eqx.types import Metrics

_LOG_STD = (-5.0, 2.0)  # range of the actor's log standard deviation


@dataclass(frozen=True)
class SacConfig(Checked):
    """Settings of SAC, with the published values as defaults."""

    width: int = within(1, 8192, 256)  # units of a hidden layer
    depth: int = within(1, 32, 2)  # hidden layers
    learning_rate: float = within(0.0, 1.0, 1e-4)  # Adam's
    batch_size: int = within(1, 10**6, 256)
    gamma: float = within(0.0, 0.99999, 0.99)  # discount per step
    ema_rate: float = within(0.0, 1.0, 0.005)  # of the target networks
    target_entropy: float = within(-100.0, 100.0, -4.0)  # nats; published: -0.5 per coordinate of the action


class Transition(eqx.Module):
    """Steps of an environment, with leading axes `*b`, or none for one step."""

    obs: Float[Array, "*b obs"]
    act: Float[Array, "*b act"]  # in [-1, 1]
    reward: Float[Array, "*b"]
    mask: Float[Array, "*b"]  # 0 where the episode ended in failure, else 1
    next_obs: Float[Array, "*b obs"]


class Networks(eqx.Module):
    """All that the optimiser moves."""

    actor: MLP  # gives mean and log standard deviation before tanh
    critics: list[MLP]  # two
    log_alpha: Float[Array, ""]


class SacState(eqx.Module):
    """All that changes from update to update."""

    networks: Networks
    targets: list[MLP]
    opt_state: optax.OptState
    step: Int[Array, ""]


@eqx.filter_jit
def init_state(config: SacConfig, obs_size: int, act_size: int, *, key: PRNGKeyArray) -> SacState:
    """The state before the first update: actions of mean almost 0 and standard deviation almost 1; alpha is 1."""
    actor_key, *critic_keys = jax.random.split(key, 3)
    make = partial(MLP, width=config.width, depth=config.depth, use_layer_norm=False)
    actor = make(obs_size, 2 * act_size, key=actor_key)
    output = jax.tree.map(lambda leaf: 0.01 * leaf, actor.output)
    actor = eqx.tree_at(lambda mlp: mlp.output, actor, output)
    critics = [make(obs_size + act_size, 1, key=k) for k in critic_keys]
    networks = Networks(actor, critics, jnp.zeros(()))
    opt_state = optax.adam(config.learning_rate).init(eqx.filter(networks, eqx.is_inexact_array))
    return SacState(networks, critics, opt_state, jnp.zeros((), jnp.int32))


def sample(
    actor: MLP, obs: Float[Array, " obs"], *, key: PRNGKeyArray
) -> tuple[Float[Array, " act"], Float[Array, ""]]:
    """Draw an action in (-1, 1). Returns it with its log density, which has the Jacobian of tanh in it."""
    mean, log_std = jnp.split(actor(obs), 2)
    log_std = jnp.clip(log_std, *_LOG_STD)
    noise = jax.random.normal(key, mean.shape)
    raw = mean + jnp.exp(log_std) * noise
    log_gaussian = jax.scipy.stats.norm.logpdf(noise) - log_std
    log_jacobian = 2 * (jnp.log(2.0) - raw - jax.nn.softplus(-2 * raw))  # log(1 - tanh(raw)^2), without cancellation
    return jnp.tanh(raw), jnp.sum(log_gaussian - log_jacobian)


def values(critics: list[MLP], obs: Float[Array, " obs"], act: Float[Array, " act"]) -> Float[Array, " critics"]:
    """The Q values of all critics."""
    return jnp.stack([critic(jnp.concatenate([obs, act]))[0] for critic in critics])


def critic_loss(
    networks: Networks, targets: list[MLP], step: Transition, config: SacConfig, *, key: PRNGKeyArray
) -> tuple[Float[Array, ""], Metrics]:
    """Mean squared TD error of the critics at one step; its gradient reaches only the critics."""
    next_act, log_prob = sample(networks.actor, step.next_obs, key=key)
    next_value = values(targets, step.next_obs, next_act).min() - jnp.exp(networks.log_alpha) * log_prob
    target = jax.lax.stop_gradient(step.reward + config.gamma * step.mask * next_value)
    found = values(networks.critics, step.obs, step.act)
    return jnp.mean((found - target) ** 2), {"q": found.mean()}


def actor_loss(
    networks: Networks, obs: Float[Array, " obs"], config: SacConfig, *, key: PRNGKeyArray
) -> tuple[Float[Array, ""], Metrics]:
    """Loss of the actor plus that of the temperature at one state; its gradient does not reach the critics."""
    act, log_prob = sample(networks.actor, obs, key=key)
    value = values(jax.lax.stop_gradient(networks.critics), obs, act).min()
    alpha = jnp.exp(networks.log_alpha)
    excess = jax.lax.stop_gradient(-log_prob) - config.target_entropy
    loss = jax.lax.stop_gradient(alpha) * log_prob - value + alpha * excess
    return loss, {"entropy": -log_prob, "alpha": alpha}


def batch_loss(
    networks: Networks, targets: list[MLP], batch: Transition, config: SacConfig, *, key: PRNGKeyArray
) -> tuple[Float[Array, ""], Metrics]:
    """The mean of both losses over a batch."""

    def one(step: Transition, key: PRNGKeyArray):
        critic_key, actor_key = jax.random.split(key)
        of_critics, metrics = critic_loss(networks, targets, step, config, key=critic_key)
        of_actor, more = actor_loss(networks, step.obs, config, key=actor_key)
        return of_critics + of_actor, {"critic_loss": of_critics, **metrics, **more}

    losses, metrics = jax.vmap(one)(batch, jax.random.split(key, len(batch.reward)))
    return jnp.mean(losses), jax.tree.map(jnp.mean, metrics)


def update(state: SacState, batch: Transition, config: SacConfig, *, key: PRNGKeyArray) -> tuple[SacState, Metrics]:
    """One Adam step of all networks, then one step of the targets' moving averages."""
    gradient, metrics = eqx.filter_grad(batch_loss, has_aux=True)(state.networks, state.targets, batch, config, key=key)
    changes, opt_state = optax.adam(config.learning_rate).update(gradient, state.opt_state)
    networks = eqx.apply_updates(state.networks, changes)
    targets = ema(state.targets, networks.critics, config.ema_rate)
    return SacState(networks, targets, opt_state, state.step + 1), metrics


@eqx.filter_jit(donate="all-except-first")
def updates(
    inputs: tuple[Transition, Int[Array, ""], PRNGKeyArray], state: SacState, config: SacConfig, num_updates: int
) -> tuple[SacState, Metrics]:
    """Several updates in one compiled call. The arrays of `state` are given away.

    **Arguments:**

    - `inputs`: the steps that were taken, how many of their first rows to draw batches from, and the key of the
      training. The random numbers of update k come from fold_in(key, k).
    - `state`, `config`: the state before, and the settings.
    - `num_updates`: how many.

    **Returns:** the state after them, and its scalars, averaged over the updates.
    """
    replay, num_rows, key = inputs
    arrays, static = eqx.partition(state, eqx.is_array)

    def body(arrays, _):
        state = eqx.combine(arrays, static)
        row_key, loss_key = update_keys(key, state.step)
        rows = jax.random.randint(row_key, (config.batch_size,), 0, num_rows)
        state, metrics = update(state, jax.tree.map(lambda leaf: leaf[rows], replay), config, key=loss_key)
        return eqx.filter(state, eqx.is_array), metrics

    arrays, metrics = jax.lax.scan(body, arrays, None, length=num_updates)
    return eqx.combine(arrays, static), jax.tree.map(jnp.mean, metrics)
