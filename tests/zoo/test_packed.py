"""Agents: packed and opened again, from run folders, and refused where something is missing or was changed."""

import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.pipeline import stages
from evor_eqx.presets import preset
from evor_eqx.runs.run import Run
from evor_eqx.system import paths
from evor_eqx.system.files import read_json, write_json
from evor_eqx.zoo import packed as agents

TASK = parse_task("pointmaze-medium-navigate-task1")


def short(config):
    train = replace(config.policy.train, num_updates=20, log_every=10, checkpoint_every=20)
    return replace(config, policy=replace(config.policy, train=train), critic=replace(config.critic, train=train))


CONFIG = short(preset("smoke"))


@pytest.fixture(scope="module")
def trained(module_home):
    return agents.of_task(TASK, CONFIG)


@pytest.fixture(scope="module")
def packed(module_home, trained):
    return agents.pack(TASK, CONFIG, module_home / "shipped")


def test_an_agent_of_a_run_has_the_runs_models_and_the_held_out_rows(module_home, trained):
    critic = stages.ensure_critic(TASK, CONFIG)
    for got, expected in zip(jax.tree.leaves(trained.critic), jax.tree.leaves(critic.model), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert trained.chunk_length == CONFIG.policy.chunk_length and trained.facts["run"] == critic.run.name
    assert len(trained.states.rows) == len(trained.states.physics["qpos"])
    rows = trained.states.rows
    np.testing.assert_allclose(trained.states.physics["qpos"], trained.dataset.obs[rows], rtol=1e-6)  # of a point maze
    assert np.all(rows < trained.dataset.last_row[rows])


def test_a_packed_agent_is_the_same_bit_for_bit(trained, packed):
    opened = agents.open_packed(packed)
    models = [(agent.policy, agent.critic) for agent in (opened, trained)]
    for got, expected in zip(*map(jax.tree.leaves, models), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert opened.task == TASK and opened.setting == CONFIG.setting and opened.facts["fingerprint"]
    np.testing.assert_array_equal(opened.states.rows, trained.states.rows[: len(opened.states.rows)])


@pytest.mark.parametrize("name", ["weights.eqx", "rows.npz"])
def test_a_file_that_was_changed_or_is_gone_is_named(packed, name):
    path = packed / name
    content = path.read_bytes()
    try:
        path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
        with pytest.raises(UserError, match=name):
            agents.open_packed(packed)
        path.unlink()
        with pytest.raises(UserError, match=f"{name}.*no file"):
            agents.open_packed(packed)
    finally:
        path.write_bytes(content)
    agents.open_packed(packed)


def test_packed_agents_in_the_home_folder_are_listed_whatever_their_folders_are_called(packed):
    shutil.copytree(packed, paths.agents_dir() / "of a friend" / "renamed")
    (entry,) = [entry for entry in agents.catalogue() if entry.label == "packed: of a friend/renamed"]
    assert entry.load().task == entry.task == TASK


def test_records_that_cannot_be_read_hide_no_other_agent(packed, monkeypatch):
    damaged, empty = paths.runs_dir() / "maze" / "critic-damaged" / "config.json", paths.agents_dir() / "agent.json"
    before = [entry.label for entry in agents.catalogue()]
    for path, text in ((damaged, "{"), (empty, "{}")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    notes = []
    monkeypatch.setattr(agents, "note", notes.append)
    assert [entry.label for entry in agents.catalogue()] == before
    (said,) = notes
    assert str(damaged) in said
    damaged.unlink()
    empty.unlink()


def test_a_run_that_is_not_finished_or_whose_data_are_gone_is_refused_when_opened(module_home, trained):
    run = Run.named(trained.facts["run"])
    entries = {entry.label: entry for entry in agents.catalogue()}
    assert entries[run.path.name].load().task == TASK
    manifest = run.path / "manifest.json"
    content = manifest.read_text()
    try:
        write_json(manifest, {**read_json(manifest), "status": "running"})
        with pytest.raises(UserError, match="is running, expected a complete one"):
            entries[run.path.name].load()
    finally:
        manifest.write_text(content)
    (module_home / "data").rename(module_home / "elsewhere")
    try:
        with pytest.raises(UserError, match="no dataset"):
            entries[run.path.name].load()
    finally:
        (module_home / "elsewhere").rename(module_home / "data")


def test_an_agent_of_another_environment_is_refused(trained, packed):
    arrays = {"observations": np.zeros((4, 7)), "actions": np.zeros((4, 5)), "valids": np.array([1, 1, 1, 0])}
    facts = (trained.setting, trained.num_flow_steps, arrays, trained.facts)
    with pytest.raises(UserError, match="observations of size 2, its dataset has 7"):
        agents._agent("mixed", TASK, trained.policy, trained.critic, *facts)


@pytest.mark.parametrize("entry", [e for e in agents.catalogue() if "shipped" in e.label], ids=lambda e: e.task.name)
def test_what_is_shipped_is_whole_and_small(entry):
    agent = entry.load()
    assert agent.task == entry.task and len(agent.states.rows) >= 100
    assert sum(path.stat().st_size for path in agents.SHIPPED.rglob("*") if path.is_file()) < 6_000_000
