"""Selection and decisions against closed forms, limits and counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from evor_eqx.agent import agent as agent_
from evor_eqx.agent import selection
from evor_eqx.config import CriticConfig, NetworkConfig, PolicyConfig
from evor_eqx.critics.factory import make_critic
from evor_eqx.distributions import ReturnLaw
from evor_eqx.policy import make_policy

temperature = st.floats(0.05, 1000)


def law_of(atoms, weights=None):
    atoms = jnp.asarray(atoms, jnp.float32)
    return ReturnLaw(atoms, jnp.full(len(atoms), 1 / len(atoms)) if weights is None else jnp.asarray(weights))


@given(st.lists(st.floats(-100, 0, width=32), min_size=1, max_size=16), temperature)
def test_candidate_weights_are_a_softmax_and_ignore_a_constant(value, tau_q):
    value = np.asarray(value, np.float32)
    expected = np.exp(value / tau_q - logsumexp(value / tau_q))
    np.testing.assert_allclose(selection.candidate_weights(jnp.asarray(value), tau_q), expected, atol=2e-3)
    np.testing.assert_allclose(selection.candidate_weights(jnp.asarray(value - 8), tau_q), expected, atol=4e-3)


def test_selection_limits_are_best_of_n_and_the_base_policy():
    value = jnp.array([-3.0, -1.0, -2.0])
    np.testing.assert_array_equal(selection.candidate_weights(value, 0.0), [0, 1, 0])
    np.testing.assert_allclose(selection.candidate_weights(value, jnp.inf), 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(selection.candidate_weights(jnp.array([-1.0, -1.0, -2.0]), 0.0), [0.5, 0.5, 0])
    np.testing.assert_array_equal(selection.candidate_weights(jnp.array([-7.0]), 0.5), [1])


def test_select_draws_in_proportion_to_the_weights():
    weights = jnp.array([0.1, 0.0, 0.6, 0.3])
    draws = jax.vmap(lambda key: selection.select(weights, key=key))(jax.random.split(jax.random.key(0), 20_000))
    # The standard error of a frequency is at most 0.5 / sqrt(2e4) = 0.0035.
    np.testing.assert_allclose(np.bincount(draws, minlength=4) / 20_000, weights, atol=0.015)
    assert 1 not in np.asarray(draws)


@pytest.fixture(scope="module")
def agent():
    network = NetworkConfig(width=16, depth=2, head_width=8)
    policy = make_policy(PolicyConfig(network=network), 3, 2, key=jax.random.key(0))
    return policy, make_critic(CriticConfig(network=network), 3, 2, key=jax.random.key(1))


def test_first_candidates_do_not_depend_on_how_many_are_drawn(agent):
    obs, key = jnp.ones(3), jax.random.key(2)
    few = agent_.decide(*agent, obs, 4, 8, 3.0, 0.3, 10, key=key)
    many = agent_.decide(*agent, obs, 16, 8, 3.0, 0.3, 10, key=key)
    np.testing.assert_allclose(few.candidates, many.candidates[:4], atol=1e-6)
    np.testing.assert_allclose(few.value, many.value[:4], atol=1e-5)


def test_what_is_done_is_the_decisions_candidate_and_one_candidate_is_the_base_policy(agent):
    policy, critic = agent
    obs, keys = jnp.ones((5, 3)), jax.random.split(jax.random.key(3), 5)
    one, num_steps = jnp.array(1), jnp.array(10)
    chunks = agent_.act(policy, critic, obs, keys, one, 4, jnp.full(5, 3.0), jnp.zeros(5), num_steps, 8)
    candidate_keys = [jax.random.split(key)[0] for key in keys]
    for chunk, key in zip(chunks, candidate_keys, strict=True):
        np.testing.assert_allclose(chunk, policy.sample(obs[0], 1, 10, key=key)[0], atol=1e-6)
    chunks = agent_.act(policy, critic, obs, keys, jnp.array(8), 4, jnp.full(5, 3.0), jnp.zeros(5), num_steps, 8)
    for chunk, key in zip(chunks, keys, strict=True):
        decision = agent_.decide(policy, critic, obs[0], 8, 4, 3.0, 0.0, 10, key=key)
        np.testing.assert_allclose(chunk, decision.candidates[decision.index], atol=1e-5)


@pytest.mark.parametrize("tau_q", [0.0, 0.3, jnp.inf])
def test_candidates_beyond_the_counted_ones_change_nothing(agent, tau_q):
    obs, key = jnp.ones(3), jax.random.key(2)
    few = agent_.decide(*agent, obs, 5, 8, 3.0, tau_q, 10, key=key)
    masked = agent_.decide(*agent, obs, jnp.array(5), 8, 3.0, tau_q, 10, num_drawn=8, key=key)
    np.testing.assert_allclose(masked.weights, [*few.weights, 0, 0, 0], atol=1e-5)
    assert masked.index == few.index


def test_a_capacity_holds_its_count_and_is_no_larger_than_it_must_be():
    assert [selection.capacity(num) for num in (1, 8, 9, 16, 17, 64, 65)] == [8, 8, 16, 16, 32, 64, 128]


def test_temperatures_flow_steps_and_the_number_of_candidates_never_recompile(agent):
    obs, keys = jnp.ones((2, 3)), jax.random.split(jax.random.key(3), 2)

    def call(num_candidates, tau_r, tau_q, num_steps):
        temperatures, sizes = (jnp.full(2, tau_r), jnp.full(2, tau_q)), (jnp.array(num_steps), 64)
        return agent_.act(*agent, obs, keys, jnp.array(num_candidates), 4, *temperatures, *sizes)

    call(4, 1.0, 1.0, 10)
    before = agent_.act._cached._cache_size()
    for num_candidates, tau_r, tau_q, num_steps in [(1, 0.1, 0.0, 5), (64, 30.0, 7.0, 20), (32, jnp.inf, 0.3, 1)]:
        call(num_candidates, tau_r, tau_q, num_steps)
    assert agent_.act._cached._cache_size() == before
