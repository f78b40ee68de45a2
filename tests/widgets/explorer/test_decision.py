"""The explorer's numbers: the same as a decision's, and compiled once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.agent.agent import Agent
from evor_eqx.agent.selection import candidate_weights
from evor_eqx.config import FieldConfig, InferenceConfig, NetworkConfig, PolicyConfig
from evor_eqx.critics.base import ReturnScale
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.registry import critic_config
from evor_eqx.policy import make_policy
from evor_eqx.widgets.explorer import decision

KEY, NUM_STEPS = jax.random.key(3), 4


def models(kind="flow"):
    policy = make_policy(PolicyConfig(network=FieldConfig(width=16, depth=1)), 3, 2, key=jax.random.key(0))
    network = (FieldConfig if kind == "flow" else NetworkConfig)(width=16, depth=1)
    scale = ReturnScale(*map(jnp.asarray, (0.0, 1.0, -5.0, 5.0)))
    config = critic_config(kind)(network=network, num_members=2)
    critic = make_critic(config, 3, 2, key=jax.random.key(1), scale=scale)
    return policy, critic


def looked(policy, critic):
    return decision.look(policy, critic, jnp.ones(3), jnp.zeros(2), jnp.asarray(NUM_STEPS), key=KEY)


def weighed(seen, num_candidates, num_returns, tau_r, tau_q, selection=candidate_weights):
    index = decision.NUM_RETURNS.index(num_returns)
    return decision.weigh(seen, selection, *map(jnp.asarray, (num_candidates, index, float(tau_r), float(tau_q))))


def uniform_over_the_better_half(value, tau_q):
    """A selection rule that needs no temperature."""
    better = value >= jnp.nanmedian(jnp.where(value > -jnp.inf, value, jnp.nan))
    return better / jnp.sum(better)


@pytest.mark.parametrize("kind", ["flow", "c51", "scalar"])
@pytest.mark.parametrize("selection", [candidate_weights, uniform_over_the_better_half])
@pytest.mark.parametrize("counts", [(64, 16, 3.0, 0.3), (8, 4, 0.1, 0.0), (1, 1, 30.0, 1.0), (32, 64, 1.0, np.inf)])
def test_a_setting_reads_what_a_decision_with_it_would_do(kind, counts, selection):
    policy, critic = models(kind)
    reading = weighed(looked(policy, critic), *counts, selection)
    num_candidates, num_returns, tau_r, tau_q = counts
    agent = Agent(policy, critic, InferenceConfig(num_candidates, tau_r, tau_q, num_returns, NUM_STEPS), selection)
    expected = agent.decide(jnp.ones(3), key=KEY)
    np.testing.assert_allclose(reading.value[:num_candidates], expected.value, rtol=1e-5, atol=1e-6)  # rounding
    np.testing.assert_allclose(reading.weights[:num_candidates], expected.weights, rtol=1e-4, atol=1e-6)
    assert int(reading.index) == int(expected.index)
    assert not np.any(reading.weights[num_candidates:])


def test_effective_number_and_divergence_have_their_closed_forms():
    seen = looked(*models())
    uniform = weighed(seen, 16, 4, 1.0, np.inf)
    assert uniform.num_effective == pytest.approx(16, rel=1e-5) and uniform.kl == pytest.approx(0, abs=1e-5)
    greedy = weighed(seen, 16, 4, 1.0, 0.0)
    assert greedy.num_effective == pytest.approx(1) and greedy.kl == pytest.approx(np.log(16), rel=1e-5)


def test_curves_fall_from_the_largest_atom_to_the_mean():
    reading = weighed(looked(*models()), 16, 4, 1.0, 1.0)
    assert np.all(np.diff(reading.curves, axis=0) <= 1e-5)
    assert np.all(reading.curves <= reading.highest + 1e-5) and np.all(reading.curves >= reading.lowest - 1e-5)


def test_two_hundred_moves_of_all_sliders_compile_nothing():
    policy, critic = models()
    seen = looked(policy, critic)
    weighed(seen, 4, 4, 1.0, 1.0)
    before = decision.weigh._cached._cache_size()
    rng = np.random.default_rng(0)
    for _ in range(200):
        weighed(seen, int(rng.choice(decision.NUM_CANDIDATES)), int(rng.choice(decision.NUM_RETURNS)), *rng.random(2))
    assert decision.weigh._cached._cache_size() == before
