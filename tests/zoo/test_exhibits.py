"""Exhibits: of runs and of packed folders, and refused where something is missing or was changed."""

import jax
import numpy as np
import pytest
from tiny import TASK

from evor_eqx.errors import UserError
from evor_eqx.pipeline import stages
from evor_eqx.zoo import exhibits


def test_an_agent_of_a_run_has_the_runs_models_and_the_held_out_rows(module_home, trained, config):
    critic = stages.ensure_critic(TASK, config)
    for got, expected in zip(jax.tree.leaves(trained.agent.critic), jax.tree.leaves(critic.model), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert trained.agent.chunk_length == config.policy.chunk_length
    assert trained.name == trained.agent.facts["run"] == critic.run.name
    assert len(trained.states.rows) == len(trained.states.physics["qpos"])
    rows = trained.states.rows
    np.testing.assert_allclose(trained.states.physics["qpos"], trained.dataset.obs[rows], rtol=1e-6)  # of a point maze
    assert np.all(rows < trained.dataset.last_row[rows])


def test_a_packed_agent_is_the_same_bit_for_bit(trained, packed, config):
    opened = exhibits.open_exhibit(packed)
    models = [(exhibit.agent.policy, exhibit.agent.critic) for exhibit in (opened, trained)]
    for got, expected in zip(*map(jax.tree.leaves, models), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert opened.task == TASK and opened.agent.inference == config.inference and opened.agent.facts["fingerprint"]
    np.testing.assert_array_equal(opened.states.rows, trained.states.rows[: len(opened.states.rows)])


@pytest.mark.parametrize("name", ["weights.eqx", "rows.npz"])
def test_a_file_that_was_changed_or_is_gone_is_named(packed, name):
    path = packed / name
    content = path.read_bytes()
    try:
        path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
        with pytest.raises(UserError, match=name):
            exhibits.open_exhibit(packed)
        path.unlink()
        with pytest.raises(UserError, match=f"{name}.*no file"):
            exhibits.open_exhibit(packed)
    finally:
        path.write_bytes(content)
    exhibits.open_exhibit(packed)


def test_an_agent_of_another_environment_is_refused(trained, monkeypatch):
    arrays = {"observations": np.zeros((4, 7)), "actions": np.zeros((4, 5)), "valids": np.array([1, 1, 1, 0])}
    monkeypatch.setattr(exhibits, "_held_out", lambda *_: arrays)
    with pytest.raises(UserError, match=r"size 2, expected sizes 7 and 5; give an agent of pointmaze"):
        exhibits.Exhibit.of(trained.agent, TASK)
