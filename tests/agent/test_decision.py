"""One decision: which candidates count, and what does not depend on how many are drawn."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agent.examples import INFERENCE, agent_of

from evor_eqx.agent.decision import Numbers, decide
from evor_eqx.agent.selection import candidate_weights
from evor_eqx.config import InferenceConfig
from evor_eqx.distributions import soft_value
from evor_eqx.errors import UserError

AGENT, OBS, KEY = agent_of(), jnp.ones(3), jax.random.key(2)


@eqx.filter_jit
def decision(numbers):
    return decide(AGENT.policy, AGENT.critic, candidate_weights, OBS, numbers, key=KEY)


def numbers_of(num_drawn, **changes):
    """Numbers with another count of drawn candidates."""
    numbers = Numbers.of(dataclasses.replace(INFERENCE, **changes))
    return dataclasses.replace(numbers, num_drawn=num_drawn)


def test_first_candidates_do_not_depend_on_how_many_are_drawn():
    few, many = (decision(numbers_of(num, num_candidates=num)) for num in (4, 16))
    np.testing.assert_allclose(few.candidates, many.candidates[:4], atol=1e-6)
    np.testing.assert_allclose(few.value, many.value[:4], atol=1e-5)


@pytest.mark.parametrize("tau_q", [0.0, 0.3, np.inf])
def test_candidates_beyond_the_counted_ones_change_nothing(tau_q):
    few, masked = (decision(numbers_of(num, num_candidates=5, tau_q=tau_q)) for num in (5, 8))
    np.testing.assert_allclose(masked.weights, [*few.weights, 0, 0, 0], atol=1e-5)
    assert masked.index == few.index


def test_a_decision_is_its_parts_one_after_the_other():
    found, candidate_key = decision(numbers_of(5)), jax.random.split(KEY)[0]
    candidates = AGENT.policy.sample(OBS, 5, 10, key=candidate_key)
    np.testing.assert_allclose(found.candidates, candidates, atol=1e-6)
    for index, chunk in enumerate(candidates):
        alone = AGENT.critic.distribution(OBS, chunk, 4, 10)
        np.testing.assert_allclose(found.distribution.atoms[index], alone.atoms, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.value[index], soft_value(alone, 3.0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.weights, candidate_weights(found.value, 0.3), rtol=1e-5)


def test_numbers_of_several_settings_have_an_axis_of_temperatures_and_share_the_counts():
    settings = [dataclasses.replace(INFERENCE, tau_q=tau_q) for tau_q in (0.0, 0.5, np.inf)]
    numbers = Numbers.of(settings)
    assert numbers.tau_q.tolist() == [0.0, 0.5, np.inf] and numbers.tau_r.tolist() == [3.0] * 3
    assert numbers.tau_q.dtype == numbers.tau_r.dtype == np.float32
    assert (int(numbers.num_candidates), numbers.num_returns, numbers.num_drawn) == (5, 4, 8)
    with pytest.raises(UserError, match="expected settings that differ in temperatures only"):
        Numbers.of([INFERENCE, InferenceConfig(num_candidates=7, num_returns=4)])
