"""Agents that are saved and loaded again, and what cannot be."""

import dataclasses
from typing import get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agent.examples import ACT_SIZE, CHUNK_LENGTH, INFERENCE, NETWORK, OBS_SIZE, agent_of

from evor_eqx.agent.agent import Agent
from evor_eqx.agent.saving import load_agent, save_agent
from evor_eqx.critics.base import ReturnScale
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.critics.multitask import make_multitask_flow
from evor_eqx.critics.registry import critic_config, critic_names
from evor_eqx.errors import UserError
from evor_eqx.system import paths
from evor_eqx.system.json_records import read_json, write_json

SCALE = ReturnScale(*map(jnp.asarray, (-1.0, 2.0, -5.0, 5.0)))
OBS, KEY = np.array([0.5, -1.0, 2.0], np.float32), jax.random.key(5)


def assert_same(found: Agent, agent: Agent):
    """The same models bit for bit, and the same configurations."""
    models = [(each.policy, each.critic) for each in (found, agent)]
    assert jax.tree.structure(models[0]) == jax.tree.structure(models[1])
    jax.tree.map(np.testing.assert_array_equal, *models)
    for name in ("inference", "policy_config", "critic_config"):
        assert getattr(found, name) == getattr(agent, name)


def with_critic(name):
    """An agent whose critic has a scale of its own; histograms need one."""
    kind = critic_config(name)
    network = get_type_hints(kind)["network"](width=16, depth=2)
    config = kind(network=network, num_members=2, n_step=CHUNK_LENGTH)
    agent = agent_of(FlowConfig(network=NETWORK))
    critic = make_critic(config, OBS_SIZE, CHUNK_LENGTH * ACT_SIZE, key=KEY, scale=SCALE)
    return dataclasses.replace(agent, critic=critic, critic_config=config)


@pytest.mark.parametrize("name", critic_names())
def test_an_agent_with_any_critic_comes_back_bit_for_bit(name, tmp_path, home):
    agent = with_critic(name)
    folder = agent.save(tmp_path / "some" / "place")
    assert folder == tmp_path / "some" / "place"
    found = load_agent(folder)
    assert_same(found, agent)
    assert found.facts["folder"] == str(folder)
    np.testing.assert_array_equal(found.act(OBS, key=KEY), agent.act(OBS, key=KEY))


def test_facts_and_settings_are_kept_and_saving_again_replaces_what_was_there(tmp_path, home):
    agent = agent_of(task="pointmaze-medium-navigate-task1", fingerprint="00000000")
    folder = agent.save(tmp_path / "mine")
    loaded = load_agent(str(folder))
    assert dict(loaded.facts) == {**agent.facts, "folder": str(folder)}
    loaded.replace(tau_q=np.inf, tau_r=0.5).save(folder)
    again = load_agent(folder)
    assert again.inference == dataclasses.replace(INFERENCE, tau_q=np.inf, tau_r=0.5)
    assert dict(again.facts) == {**agent.facts, "folder": str(folder)}


def test_an_agent_in_the_home_folder_is_found_by_its_name(home, monkeypatch, tmp_path):
    agent = agent_of()
    agent.save(paths.agents_dir() / "mine")
    monkeypatch.chdir(tmp_path)
    assert_same(load_agent("mine"), agent)


def test_the_agents_of_the_package_are_found_by_the_names_of_their_tasks(home):
    for name, obs_size in (("pointmaze-medium-navigate-task1", 2), ("cube-single-play-task2", 28)):
        agent = load_agent(name)
        assert agent.facts["dataset"].startswith(name.rpartition("-")[0]) and agent.obs_size == obs_size
        assert np.isfinite(agent.act(np.zeros(obs_size, np.float32), key=KEY)).all()


def test_an_unknown_name_is_refused_with_the_places_that_were_looked_at(home):
    with pytest.raises(UserError, match=rf"no agent 'nobody': .*{paths.agents_dir()}.*pointmaze-medium-navigate"):
        load_agent("nobody")


def test_a_damaged_or_missing_file_is_refused_by_name(tmp_path, home):
    folder = agent_of().save(tmp_path / "mine")
    weights = folder / "weights.eqx"
    weights.write_bytes(b"x" + weights.read_bytes()[1:])
    with pytest.raises(UserError, match=r"damaged file .*weights.eqx: got SHA-256 .*expected .*copy it again"):
        load_agent(folder)
    weights.unlink()
    with pytest.raises(UserError, match=r"no file .*weights.eqx: expected it beside agent.json"):
        load_agent(folder)


def test_a_record_that_was_changed_or_cut_off_is_refused(tmp_path, home):
    folder = agent_of().save(tmp_path / "mine")
    text = (folder / "agent.json").read_text()
    for damaged in (text.replace('"num_candidates": 5', '"num_candidates": 6'), text[:100]):
        assert damaged != text
        (folder / "agent.json").write_text(damaged)
        with pytest.raises(UserError, match=r"agent\.json"):
            load_agent(folder)


def test_further_files_of_the_folder_are_checked_too(tmp_path, home):
    (tmp_path / "rows.npz").write_bytes(b"some rows")
    save_agent(agent_of(), tmp_path, ("rows.npz",))
    assert_same(load_agent(tmp_path), agent_of())
    (tmp_path / "rows.npz").write_bytes(b"some other rows")
    with pytest.raises(UserError, match=r"damaged file .*rows.npz"):
        load_agent(tmp_path)


def test_a_critic_that_is_not_registered_is_named(tmp_path, home):
    folder = agent_of().save(tmp_path / "mine")
    record = {name: value for name, value in read_json(folder / "agent.json").items() if name != "checksum"}
    record["critic"]["config"]["kind"] = "two_points"
    write_json(folder / "agent.json", record)
    with pytest.raises(UserError, match=r"unknown critic 'two_points': expected one of flow, "):
        load_agent(folder)


def several_tasks():
    """An agent with the critic of one of several tasks."""
    config = FlowConfig(n_step=CHUNK_LENGTH, network=NETWORK)
    scales = ReturnScale(*(jnp.stack([leaf] * 3) for leaf in jax.tree.leaves(SCALE)))
    model = make_multitask_flow(config, OBS_SIZE, CHUNK_LENGTH * ACT_SIZE, scales, key=KEY)
    return dataclasses.replace(agent_of(config), critic=model.task(1))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: agent_of().base_policy_agent(), "expected a base policy and a critic with their configurations"),
        (lambda: dataclasses.replace(agent_of(), critic_config=None), "with their configurations"),
        (lambda: dataclasses.replace(agent_of(), policy_config=None), "with their configurations"),
        (several_tasks, "trained on one encoder with those of other tasks"),
    ],
)
def test_what_could_not_be_made_again_is_not_saved(make, named, tmp_path, home):
    with pytest.raises(UserError, match=f"this agent cannot be saved: .*{named}"):
        make().save(tmp_path / "mine")
    assert not (tmp_path / "mine" / "agent.json").exists()
