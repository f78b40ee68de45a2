"""The agent: decisions and actions agree, batches are their rows, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agent.examples import ACT_SIZE, CHUNK_LENGTH, INFERENCE, OBS_SIZE, agent_of

from evor_eqx.agent import decision
from evor_eqx.config import InferenceConfig
from evor_eqx.errors import UserError

AGENT, KEY = agent_of(), jax.random.key(3)
OBS = np.random.default_rng(0).normal(size=(4, OBS_SIZE)).astype(np.float32)
COMPILED = (decision.decide_batch, decision.act_batch, decision.act_base_batch)


def num_compiled():
    return [function._cached._cache_size() for function in COMPILED]


def test_sizes_are_those_of_the_policy():
    assert (AGENT.obs_size, AGENT.chunk_length, AGENT.act_size) == (OBS_SIZE, CHUNK_LENGTH, ACT_SIZE)


@pytest.mark.parametrize("num_candidates", [1, 5, 8])
def test_a_decision_has_exactly_the_candidates_that_count_all_on_the_host(num_candidates):
    found = AGENT.replace(num_candidates=num_candidates).decide(OBS[0], key=KEY)
    assert found.candidates.shape == (num_candidates, CHUNK_LENGTH * ACT_SIZE)
    assert found.value.shape == found.weights.shape == (num_candidates,) and found.index.shape == ()
    assert found.distribution.atoms.shape == found.distribution.weights.shape == (num_candidates, 4)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(found))
    np.testing.assert_allclose(found.weights.sum(), 1, rtol=1e-5)
    batch = AGENT.replace(num_candidates=num_candidates).decide(OBS, key=KEY)
    assert batch.candidates.shape == (4, num_candidates, CHUNK_LENGTH * ACT_SIZE) and batch.index.shape == (4,)


def test_what_is_done_is_the_candidate_that_is_decided_for():
    for key in jax.random.split(KEY, 5):
        found, chunk = AGENT.decide(OBS[0], key=key), AGENT.act(OBS[0], key=key)
        assert chunk.shape == (CHUNK_LENGTH, ACT_SIZE) and isinstance(chunk, np.ndarray)
        np.testing.assert_allclose(chunk.ravel(), found.candidates[found.index], atol=1e-6)
    batch, chunks = AGENT.decide(OBS, key=KEY), AGENT.act(OBS, key=KEY)
    assert chunks.shape == (4, CHUNK_LENGTH, ACT_SIZE)
    for row in range(4):
        np.testing.assert_allclose(chunks[row].ravel(), batch.candidates[row, batch.index[row]], atol=1e-6)


def test_a_batch_is_its_rows_one_by_one_with_the_same_keys():
    keys = jax.random.split(KEY, 4)
    batches = AGENT.decide(OBS, key=KEY), AGENT.decide(OBS, key=keys), AGENT.decide_each(OBS, keys, [INFERENCE] * 4)
    for row, key in enumerate(keys):
        alone = AGENT.decide(OBS[row], key=key)
        for batch in batches:
            mine = jax.tree.map(lambda leaf, row=row: leaf[row], batch)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), mine, alone)
    flat = AGENT.act(OBS, key=KEY).reshape(4, -1)
    np.testing.assert_allclose(AGENT.act_each(OBS, keys, [INFERENCE] * 4), flat, atol=1e-6)


def test_each_row_of_a_batch_may_have_temperatures_of_its_own():
    keys = jnp.stack([KEY] * 2)
    settings = [AGENT.replace(tau_q=tau_q).inference for tau_q in (0.0, 100.0)]
    found = AGENT.decide_each(np.stack([OBS[0]] * 2), keys, settings)
    np.testing.assert_allclose(found.candidates[0], found.candidates[1], atol=1e-6)
    assert found.weights[0].tolist().count(1.0) == 1 and np.ptp(found.weights[1]) < 0.1
    assert found.index[0] == np.argmax(found.value[0])


def test_replace_changes_settings_and_nothing_else():
    other = AGENT.replace(tau_q=0.0, num_candidates=7)
    assert (other.inference.tau_q, other.inference.num_candidates, other.inference.tau_r) == (0.0, 7, 3.0)
    assert other.policy is AGENT.policy and other.critic is AGENT.critic and AGENT.inference == INFERENCE
    whole = AGENT.replace(inference=InferenceConfig(num_candidates=2), tau_r=9.0)
    assert whole.inference == InferenceConfig(num_candidates=2, tau_r=9.0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"tau": 1.0},
            "got tau, expected some of inference, num_candidates, num_flow_steps, num_returns, num_search_steps, "
            "search_angle, selection, ",
        ),
        ({"tau_q": 0.1, "critic": None}, "got critic, expected some of"),
        ({"tau_q": -1.0}, "tau_q is -1.0: expected 0.0 to inf"),
        ({"num_candidates": 0}, "num_candidates is 0: expected 1 to 4096"),
    ],
)
def test_replace_refuses_unknown_names_and_values_out_of_range(changes, named):
    with pytest.raises(UserError, match=named):
        AGENT.replace(**changes)


def test_temperatures_flow_steps_and_the_number_of_candidates_never_recompile():
    agent, base = AGENT.replace(num_candidates=4), AGENT.base_policy_agent()
    for each in (agent, base):
        each.act(OBS, key=KEY)
    agent.decide(OBS, key=KEY)
    before = num_compiled()
    for num_candidates, tau_r, tau_q, steps in [(1, 0.1, 0.0, 5), (8, 30.0, 7.0, 20), (5, np.inf, 0.3, 1)]:
        changes = {"num_candidates": num_candidates, "tau_r": tau_r, "tau_q": tau_q, "num_flow_steps": steps}
        agent.replace(**changes).decide(OBS, key=KEY)
        agent.replace(**changes).act(OBS, key=KEY)
        base.replace(**changes).act(OBS, key=KEY)
    assert num_compiled() == before


@pytest.mark.parametrize("shape", [(OBS_SIZE + 2,), (4, OBS_SIZE + 2), (2, 4, OBS_SIZE)])
def test_an_observation_of_another_size_is_named_with_both_sizes(shape):
    for call in (AGENT.act, AGENT.decide, AGENT.base_policy_agent().act):
        with pytest.raises(UserError) as error:
            call(np.zeros(shape, np.float32), key=KEY)
        assert f"got shape {shape}, expected [{OBS_SIZE}]" in str(error.value)


def test_observations_of_an_environment_in_double_precision_are_taken():
    np.testing.assert_array_equal(AGENT.act(OBS[0].astype(np.float64), key=KEY), AGENT.act(OBS[0], key=KEY))


def worst(value, tau_q):
    """All the weight on the candidate with the lowest value that counts."""
    return jnp.where(jnp.arange(len(value)) == jnp.argmin(jnp.where(value > -jnp.inf, value, jnp.inf)), 1.0, 0.0)


def test_a_selection_rule_of_ones_own_is_used():
    agent = AGENT.replace(selection=worst)
    for key in jax.random.split(KEY, 3):
        found = agent.decide(OBS[0], key=key)
        assert found.index == np.argmin(found.value) and found.weights[found.index] == 1.0
        np.testing.assert_allclose(agent.act(OBS[0], key=key).ravel(), found.candidates[found.index], atol=1e-6)
    keys = jax.random.split(KEY, 4)
    found = agent.decide(OBS, key=keys)
    np.testing.assert_array_equal(found.index, found.value.argmin(axis=1))
    flat = np.take_along_axis(found.candidates, found.index[:, None, None], axis=1)[:, 0]
    np.testing.assert_allclose(agent.act_each(OBS, keys, [INFERENCE] * 4), flat, atol=1e-6)


def test_a_rule_whose_weights_are_none_is_refused():
    for wrong in (lambda value, tau_q: value, lambda value, tau_q: jnp.ones(len(value))):
        agent = AGENT.replace(selection=wrong)
        for call in (agent.decide, agent.act):
            with pytest.raises(UserError, match=r"weights of the selection rule: got .*expected finite, non-negative"):
                call(OBS[0], key=KEY)


def test_the_base_policy_alone_does_the_first_candidate():
    base, one = AGENT.base_policy_agent(), AGENT.replace(num_candidates=1)
    assert base.critic is None and base.inference.num_candidates == 1
    keys = jax.random.split(KEY, 4)
    first = AGENT.decide(OBS, key=keys).candidates[:, 0].reshape(4, CHUNK_LENGTH, ACT_SIZE)
    for chunks in (base.act(OBS, key=keys), one.act(OBS, key=keys)):
        np.testing.assert_allclose(chunks, first, atol=1e-6)
    for row, key in enumerate(keys):
        sample = AGENT.policy.sample(jnp.asarray(OBS[row]), 1, 10, key=jax.random.split(key)[0])[0]
        np.testing.assert_allclose(base.act(OBS[row], key=key).ravel(), sample, atol=1e-6)


def test_without_a_critic_nothing_can_be_decided():
    with pytest.raises(UserError, match="the agent has no critic"):
        AGENT.base_policy_agent().decide(OBS[0], key=KEY)
