"""What tests of critics share: small critics, one transition, and a process of two states whose values are known."""

from typing import get_type_hints

import equinox as eqx
import jax
import jax.numpy as jnp

from evor_eqx import distributions
from evor_eqx.config import TrainConfig
from evor_eqx.critics.base import ReturnScale
from evor_eqx.critics.ensemble import pick
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.next_draw import DrawChoice
from evor_eqx.critics.registry import critic_config
from evor_eqx.training import loop, update
from evor_eqx.types import Batch

SCALE = ReturnScale(*map(jnp.asarray, (1.0, 2.0, -4.0, 4.0)))
WIDE = ReturnScale(*map(jnp.asarray, (1.0, 2.0, -40.0, 40.0)))  # nothing is clipped
BEST = DrawChoice()  # the draw with the highest mean
KEY, OTHER_KEY = jax.random.split(jax.random.key(0))


def critic_of(kind, key=KEY, scale=SCALE, num_members=1, combine="mean"):
    """A small critic of a registered kind, untrained."""
    config_class = critic_config(kind)
    network = get_type_hints(config_class)["network"](width=32, depth=2)
    config = config_class(network=network, num_members=num_members, combine=combine)
    return make_critic(config, obs_size=2, chunk_size=1, key=key, scale=scale)


def example_of(reward=0.5, mask=1.0):
    """One transition, with a single draw of the base policy at the next state."""
    return Batch(
        obs=jnp.ones(2),
        chunk=jnp.zeros(1),
        reward=jnp.asarray(reward),
        discount=jnp.asarray(0.9),
        mask=jnp.asarray(mask),
        valid=jnp.asarray(True),
        next_obs=jnp.zeros(2),
        next_chunk=jnp.ones(1),
        mc_return=jnp.asarray(0.0),
        next_draws=jnp.ones((1, 1)),
    )


@eqx.filter_jit
def loss_of(critic, target, example):
    """The loss of a batch of one: what is chosen is chosen for a whole batch."""
    return update.batch_loss(critic, target, jax.tree.map(lambda leaf: leaf[None], example), key=KEY)


@eqx.filter_jit
def member_values(critic, obs, chunk):
    """What each member says of a chunk, in units of the model."""
    cond = jnp.concatenate([critic.inputs.features(obs), chunk])
    return [pick(critic.network.networks, i)(cond)[0] for i in range(critic.network.num_members)]


class Fork(eqx.Module):
    """Two states, acts -1 and 1 by a fair coin, nothing else is left to chance.

    At state 0, -1 ends the task and 1 leads to state 1, both for nothing; state 1 ends it and pays the act. gamma 0.9,
    so the chunk 1 at state 0 is worth 0.9 times what state 1 is.
    """

    draws: jax.Array | None  # the bank's acts, at either state, if batches hold them all
    choose: DrawChoice | None = eqx.field(static=True)

    def sample(self, batch_size, *, key):
        """A batch with uniform states and acts."""
        state, act, next_act = jax.random.bernoulli(key, shape=(3, batch_size)).astype(jnp.float32)
        return Batch(
            obs=jnp.stack([1 - state, state], axis=1),
            chunk=2 * act[:, None] - 1,
            reward=state * (2 * act - 1),
            discount=jnp.full(batch_size, 0.9),
            mask=(1 - state) * act,
            valid=jnp.ones(batch_size, bool),
            next_obs=jnp.tile(jnp.array([0.0, 1.0]), (batch_size, 1)),
            next_chunk=2 * next_act[:, None] - 1,
            mc_return=jnp.zeros(batch_size),
            next_draws=None if self.draws is None else jnp.tile(self.draws[:, None], (batch_size, 1, 1)),
            choose=self.choose,
        )


def learned_on_fork(critic, draws=(-1.0, 1.0), choose=BEST):
    """The critic after a short training on `Fork`."""
    config = TrainConfig(400, batch_size=64, learning_rate=1e-2, decay=True, ema_rate=0.05, log_every=200)
    sampler = Fork(None, None) if draws is None else Fork(jnp.asarray(draws), choose)
    return loop.fit(critic, sampler, sampler, config, loop.Memory(), key=KEY)


def value_of_the_way_on(critic):
    """Of the chunk 1 at state 0."""
    return float(distributions.mean(critic.distribution(jnp.array([1.0, 0.0]), jnp.ones(1), 16, 10)))
