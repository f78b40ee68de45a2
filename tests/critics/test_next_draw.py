"""The choice among draws in a backup, by EVOR's rule: against closed forms, a loop, and its two limits."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics.examples import BEST, KEY, critic_of, example_of, learned_on_fork, value_of_the_way_on

from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.next_draw import DrawChoice, draw_choice
from evor_eqx.critics.registry import critic_config
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.runs.records import to_record
from evor_eqx.training import update


class Coin(AbstractCritic):
    """The return of a chunk (mean, spread) is mean - spread or mean + spread, by a fair coin."""

    def loss(self, target, example, *, key):
        raise NotImplementedError

    def distribution(self, obs, chunk, num_returns, num_steps):
        mean, spread = chunk
        return ReturnDistribution.of_equal_weights(jnp.stack([mean - spread, mean + spread]))


def shares(choice, draws, num=20_000):
    """How often each draw is chosen, in a batch of equal windows."""
    draws = jnp.asarray(draws)
    one = dataclasses.replace(example_of(), next_draws=draws, next_chunk=draws[0], chunk=draws[0])
    batch = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], num, axis=0), one)
    chosen = eqx.filter_jit(choice)(Coin(), batch, key=KEY).next_chunk
    return np.array([np.mean(np.all(chosen == draw, axis=1)) for draw in draws])


DRAWS = np.array([[0.0, 0.0], [0.2, 0.0], [-0.5, 1.5]], np.float32)


@pytest.mark.parametrize("tau_r", [math.inf, 2.0, 0.5, 0.0])
@pytest.mark.parametrize("tau_q", [0.3, 2.0])
def test_draws_are_chosen_with_the_softmax_of_their_soft_values(tau_r, tau_q):
    values = []
    for mean, spread in DRAWS.astype(np.float64):
        atoms = np.array([mean - spread, mean + spread])
        if math.isinf(tau_r):
            values.append(atoms.mean())
        else:
            values.append(atoms.max() if tau_r == 0 else tau_r * np.log(np.mean(np.exp(atoms / tau_r))))
    weights = np.exp(np.array(values) / tau_q)
    np.testing.assert_allclose(shares(DrawChoice(tau_r, tau_q), DRAWS), weights / weights.sum(), atol=0.015)


def test_without_temperature_the_draw_of_the_highest_value_is_taken():
    assert shares(BEST, DRAWS, 10).tolist() == [0, 1, 0]
    assert shares(DrawChoice(0.5, 0.0), DRAWS, 10).tolist() == [0, 0, 1]


def test_a_flow_learns_the_value_of_the_softmax_of_its_draws():
    tau_q = 0.5
    learned = learned_on_fork(critic_of("flow", num_members=2), choose=DrawChoice(math.inf, tau_q))
    # The act at state 1 pays -1 or 1 and is chosen with softmax((-1, 1) / tau_Q), whose mean is tanh(1 / tau_Q).
    assert value_of_the_way_on(learned) == pytest.approx(0.9 * math.tanh(1 / tau_q), abs=0.05)


def test_the_choice_of_a_configuration_is_best_of_n_soft_or_none():
    flow = critic_config("flow")
    assert draw_choice(flow()) is None
    assert draw_choice(flow(next_draw="best")) == BEST == DrawChoice(math.inf, 0.0)
    assert draw_choice(flow(next_draw="soft", next_tau_r=5.0, next_tau_q=1.5)) == DrawChoice(5.0, 1.5)


def test_temperatures_name_a_run_only_where_they_have_an_effect():
    flow = critic_config("flow")
    for next_draw in ("any", "best"):
        records = [to_record(flow(next_draw=next_draw, next_tau_r=tau)) for tau in (1.0, 2.0)]
        assert records[0] == records[1]
        assert "next_tau_r" not in records[0]
    soft = [to_record(flow(next_draw="soft", next_tau_q=tau)) for tau in (1.0, 2.0)]
    assert soft[0] != soft[1]


def test_an_update_draws_its_choice_from_its_own_key():
    """The same key gives the same loss; the examples' own noise does not depend on whether a choice is made."""
    critic = critic_of("flow")
    one = dataclasses.replace(example_of(), next_draws=jnp.asarray([[-1.0], [1.0]]))
    batch = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], 64, axis=0), one)
    batch = dataclasses.replace(batch, choose=DrawChoice(1.0, 1.0))
    losses = [float(update.batch_loss(critic, critic, batch, key=key)[0]) for key in (KEY, KEY, jax.random.key(9))]
    assert losses[0] == losses[1] != losses[2]
    alike = dataclasses.replace(batch, next_draws=jnp.tile(batch.next_chunk[:, None], (1, 2, 1)))
    plain = dataclasses.replace(batch, choose=None)
    assert float(update.batch_loss(critic, critic, alike, key=KEY)[0]) == pytest.approx(
        float(update.batch_loss(critic, critic, plain, key=KEY)[0])
    )
