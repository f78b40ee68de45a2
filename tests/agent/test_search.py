"""Search in the base policy's noise: the law that its chains keep, its limits, and the agent that uses it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agent.examples import INFERENCE, agent_of
from scipy import stats

from evor_eqx.agent.search import Drawn, resampled, search
from evor_eqx.agent.selection import candidate_weights
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.errors import UserError

NUM, TAU, SLOPE = 20_000, 2.0, jnp.array([1.5, -0.5])
OBS, KEY = jnp.ones(3), jax.random.key(3)


def point_masses(value):
    return ReturnDistribution(value[:, None], jnp.ones((len(value), 1)))


def draw(noise):
    """Candidates with a linear value: N(0, I), tilted by exp(value / tau), is N(slope / tau, I)."""
    return Drawn(noise, -noise, point_masses(noise @ SLOPE), noise @ SLOPE)


def noise(num=NUM, seed=0):
    return jax.random.normal(jax.random.key(seed), (num, 2))


def searched(noise, tau_q, **how):
    """Where chains from some noise end; what belongs to a candidate stays with it."""
    moved = search(draw, draw(noise), tau_q, key=jax.random.key(1), **how)
    for leaf, expected in zip(jax.tree.leaves(moved), jax.tree.leaves(draw(moved.noise)), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=1e-5, atol=1e-5)
    return moved.noise


def test_chains_keep_the_tilted_law():
    begun = noise() + SLOPE / TAU
    moved = searched(begun, TAU, num_steps=5, angle=0.7)
    assert float(jnp.mean(jnp.all(moved != begun, axis=1))) > 0.9
    for coordinate in (0, 1):
        alone = np.asarray(moved[:, coordinate] - SLOPE[coordinate] / TAU)
        assert stats.kstest(alone, "norm").pvalue > 0.01
    np.testing.assert_allclose(np.cov(moved.T), np.eye(2), atol=0.04)


def test_chains_from_the_base_policy_reach_the_tilted_law():
    moved = searched(noise(), TAU, num_steps=200, angle=0.5)
    np.testing.assert_allclose(moved.mean(axis=0), SLOPE / TAU, atol=0.03)


@pytest.mark.parametrize("angle", [0.1, np.pi / 2])
def test_an_infinite_temperature_keeps_the_base_policys_law(angle):
    moved = searched(noise(), jnp.inf, num_steps=3, angle=angle)
    assert stats.kstest(np.asarray(moved).ravel(), "norm").pvalue > 0.01
    assert (moved != noise()).all()


def test_without_temperature_every_chain_climbs():
    before, after = draw(noise(100)).value, draw(searched(noise(100), 0.0, num_steps=20, angle=0.3)).value
    assert (after >= before).all()
    assert float(after.mean()) > float(before.mean()) + 1


def test_each_draw_is_resampled_as_often_as_its_weight_says():
    drawn, weights = noise(8), jnp.array([0.1, 0.25, 0.0, 0.4, 0.25, 0.0, 0.0, 0.0])
    again = resampled(draw(drawn), weights, 5, key=jax.random.key(1)).noise[:5]
    counts = [int((again == one).all(axis=1).sum()) for one in drawn]
    assert sum(counts) == 5
    assert all(np.floor(5 * w) <= count <= np.ceil(5 * w) for count, w in zip(counts, weights, strict=True))


def test_an_agent_that_searches_finds_better_candidates_and_picks_the_best_of_them():
    plain = agent_of().replace(inference=INFERENCE, tau_q=0.0)
    found = plain.replace(num_search_steps=20).decide(OBS, key=KEY)
    assert found.value.max() > plain.decide(OBS, key=KEY).value.max()
    assert found.value[found.index] == found.value.max()
    assert (np.abs(found.candidates) <= 1).all()
    soft = plain.replace(tau_q=1.0, num_search_steps=1).decide(OBS, key=KEY)
    np.testing.assert_allclose(soft.weights, 1 / len(soft.value), rtol=1e-5)  # resampled: all count the same
    chunk = plain.replace(num_search_steps=20).act(OBS, key=KEY)
    np.testing.assert_allclose(chunk.ravel(), found.candidates[found.index], atol=1e-6)


def test_a_rule_of_ones_own_cannot_search():
    own = agent_of().replace(num_search_steps=1, selection=lambda value, tau_q: candidate_weights(value, tau_q))
    with pytest.raises(UserError, match="num_search_steps: got a search with a selection rule of your own"):
        own.act(OBS, key=KEY)
