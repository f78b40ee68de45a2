"""The clock of decisions: what it times is the agent's own call, for every agent and N_pi."""

import jax
import numpy as np
from tiny import tiny_exhibit

from evor_eqx.bench import decisions


def test_a_case_is_the_public_call_for_one_observation():
    agent = tiny_exhibit().agent
    chunk = decisions.decision_case(agent, 3)()
    expected = agent.replace(num_candidates=3).act(np.zeros(2), key=jax.random.key(0))
    assert isinstance(chunk, np.ndarray) and chunk.shape == (5, 2)
    np.testing.assert_array_equal(chunk, expected)


def test_every_agent_is_timed_with_every_number_of_candidates():
    agent = tiny_exhibit().agent
    rows = decisions.time_decisions({"a": agent, "b": agent}, iter((1, 4)), num_rounds=3)
    assert [(row["network"], row["num_candidates"]) for row in rows] == [("a", 1), ("a", 4), ("b", 1), ("b", 4)]
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in rows)
