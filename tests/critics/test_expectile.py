"""The expectile critic against scipy's expectiles, and on a process whose values are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics.examples import (
    KEY,
    OTHER_KEY,
    critic_of,
    example_of,
    learned_on_fork,
    loss_of,
    member_values,
    value_of_the_way_on,
)
from scipy.optimize import minimize_scalar
from scipy.stats import expectile

from evor_eqx.critics.expectile import EXPECTILE, expectile_loss


def minimiser(targets, level):
    """Where the mean of the loss over the targets is least."""
    mean_loss = jax.jit(lambda m: jnp.mean(jax.vmap(lambda z: expectile_loss(m, z, level))(targets)))
    return minimize_scalar(mean_loss, bounds=(targets.min(), targets.max()), method="bounded").x


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_loss_is_least_at_scipys_expectile(level):
    targets = np.random.default_rng(0).exponential(size=200).astype(np.float32)
    # Losses are float32: near a minimum of size 1, places 1e-3 apart cannot be told from one another.
    assert minimiser(targets, level) == pytest.approx(expectile(targets, level), abs=2e-3)


def test_expectile_of_a_uniform_distribution():
    """level (1 - m)^2 = (1 - level) m^2, so m = 3/4 at level 0.9."""
    assert minimiser(((np.arange(1000) + 0.5) / 1000).astype(np.float32), 0.9) == pytest.approx(0.75, abs=2e-3)


@pytest.mark.parametrize(("reward", "mask"), [(0.2, 1.0), (0.2, 0.0)])
def test_loss_is_that_of_the_members_and_of_the_state_s_value(reward, mask):
    critic, target = (critic_of("expectile", key, num_members=2, combine="min") for key in (KEY, OTHER_KEY))
    example = example_of(reward, mask)
    backup = (reward + 0.9 * mask * (1.0 + 2.0 * float(critic.state_network(example.next_obs)[0])) - 1.0) / 2.0
    errors = np.array(member_values(critic, example.obs, example.chunk)) - backup
    taught = float(min(member_values(target, example.obs, example.chunk)))
    d = taught - float(critic.state_network(example.obs)[0])
    expected = np.mean(errors**2) + abs(EXPECTILE - (d < 0)) * d**2
    assert float(loss_of(critic, target, example)[0]) == pytest.approx(expected, rel=1e-4)


def test_no_chunk_beside_the_datas_is_asked_about():
    critic, example = critic_of("expectile"), example_of()
    other = eqx.tree_at(lambda e: (e.next_chunk, e.next_draws), example, (-example.next_chunk, -example.next_draws))
    assert loss_of(critic, critic, other)[0] == loss_of(critic, critic, example)[0]


def test_the_state_s_value_is_taught_by_the_target_network_alone():
    critic, target, example = critic_of("expectile"), critic_of("expectile", OTHER_KEY), example_of()
    (taught,) = member_values(target, example.obs, example.chunk)

    @eqx.filter_jit
    @eqx.filter_grad
    def alone(network):
        return expectile_loss(network(example.obs)[0], taught, EXPECTILE)

    gradient = eqx.filter_jit(eqx.filter_grad(lambda own: loss_of(own, target, example)[0]))(critic).state_network
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradient, alone(critic.state_network)
    )


def test_training_finds_the_expectile_between_the_mean_and_the_maximum():
    """State 1 of `Fork` pays -1 or 1: 0.9 (1 - v) = 0.1 (1 + v), so v = 0.8, between 0 and 1."""
    critic = learned_on_fork(critic_of("expectile", num_members=2, combine="min"))
    value = critic.scale.to_return(critic.predict_state(jnp.array([0.0, 1.0])))
    assert float(value) == pytest.approx(0.8, abs=0.05)
    assert value_of_the_way_on(critic) == pytest.approx(0.9 * 0.8, abs=0.05)
