"""Exhibits: of runs and of packed folders, and refused where something is missing or was changed."""

import json
import shutil
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import TASK

from evor_eqx.errors import UserError
from evor_eqx.pipeline import stages
from evor_eqx.system import paths
from evor_eqx.system.files import sha256
from evor_eqx.widgets.explorer.states import StateFinder
from evor_eqx.zoo import exhibits
from evor_eqx.zoo.catalogue import catalogue


def shipped():
    """The agents that come with the package."""
    return [each for each in catalogue() if each.label == "shipped with the package"]


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
        with pytest.raises(UserError, match=f"no file .*{name}"):
            exhibits.open_exhibit(packed)
    finally:
        path.write_bytes(content)
    exhibits.open_exhibit(packed)


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def put_into(folder, name, write):
    """Replace a file of a packed agent and its checksum, as somebody may who sends one around."""
    with open(folder / name, "wb") as file:
        write(file)
    record = json.loads((folder / "agent.json").read_text())
    record.pop("checksum")
    record["sha256"][name] = sha256(folder / name)
    (folder / "agent.json").write_text(json.dumps(record))


@pytest.fixture
def sent(packed, tmp_path):
    """A packed agent that can be changed."""
    return Path(shutil.copytree(packed, tmp_path / "sent"))


@pytest.mark.parametrize("name", ["weights.eqx", "rows.npz"])
def test_objects_in_a_file_are_refused_and_never_made(sent, name):
    objects = np.array([Bomb(sent / "made")], dtype=object)
    save = partial(np.savez, observations=objects) if name == "rows.npz" else partial(np.save, arr=objects)
    put_into(sent, name, save)
    with pytest.raises(UserError, match=name):
        exhibits.open_exhibit(sent)
    assert not (sent / "made").exists()


def test_rows_that_would_fill_the_memory_are_refused(sent, monkeypatch):
    put_into(sent, "rows.npz", partial(np.savez_compressed, observations=np.zeros(10**6)))
    monkeypatch.setattr(exhibits, "_MOST_BYTES", 10**6)
    with pytest.raises(UserError, match=r"rows\.npz: got arrays of 8,\d+,\d+ bytes"):
        exhibits.open_exhibit(sent)


def test_a_checksum_of_a_file_elsewhere_is_refused(sent):
    record = json.loads((sent / "agent.json").read_text())
    record.pop("checksum")
    record["sha256"]["../rows.npz"] = record["sha256"]["rows.npz"]
    (sent / "agent.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="files beside it"):
        exhibits.open_exhibit(sent)


def test_an_agent_of_another_environment_is_refused(trained, monkeypatch):
    arrays = {"observations": np.zeros((4, 7)), "actions": np.zeros((4, 5)), "valids": np.array([1, 1, 1, 0])}
    monkeypatch.setattr(exhibits, "_held_out", lambda *_: arrays)
    with pytest.raises(UserError, match=r"size 2, expected sizes 7 and 5; give an agent of pointmaze"):
        exhibits.Exhibit.of(trained.agent, TASK)


def test_what_an_exhibit_compiles_is_kept_for_the_next_process(packed, monkeypatch):
    switched = []
    monkeypatch.setattr(exhibits, "keep_compiled", lambda: switched.append(True))
    exhibits.open_exhibit(packed)
    assert switched


@pytest.mark.parametrize("listed", shipped(), ids=lambda each: each.task.environment)
def test_the_explorer_starts_where_the_held_out_data_reach_the_goal(listed):
    exhibit = listed.open()
    state = StateFinder(exhibit).at_state(exhibit.start)
    row = int(exhibit.states.rows[exhibit.start])
    ends = np.flatnonzero(exhibit.dataset.mask[row : exhibit.dataset.last_row[row]] == 0)
    assert len(ends) > 0  # the task ended between this row and its episode's end
    steps, gamma = int(ends[0]), exhibit.task.gamma
    assert exhibit.dataset.reward[row + steps] == 0 and state.own.is_complete
    assert state.own.low == state.own.high == pytest.approx(-(1 - gamma**steps) / (1 - gamma), rel=1e-5)
    assert -90 < state.own.low < -10  # something is at stake


def test_the_notebooks_explorer_starts_there():
    cells = json.loads((paths.notebooks_dir() / "explorer.ipynb").read_text())["cells"]
    assert f"state = {shipped()[0].open().start}" in "".join("".join(cell["source"]) for cell in cells)


def episodes(num, ended_at):
    """Episodes of 100 rows; the task ends in one row."""
    valids, masks = np.tile(np.r_[np.ones(99), 0], num), np.ones(100 * num)
    masks[ended_at] = 0
    arrays = {"observations": np.arange(100.0 * num)[:, None], "actions": np.zeros((100 * num, 1))}
    return arrays | {"valids": valids, "masks": masks, "rewards": -np.ones(100 * num), "qpos": arrays["observations"]}


@pytest.mark.parametrize(("ended_at", "first"), [(150, 0), (470, 200), ([], 0)])
def test_packed_episodes_are_the_first_or_end_with_the_first_in_which_the_task_ended(
    tmp_path, monkeypatch, ended_at, first
):
    monkeypatch.setattr(exhibits, "PACKED_NUMBERS", 1500)  # three episodes of 100 rows with 5 numbers each
    exhibits._write_rows(tmp_path / "rows.npz", episodes(6, ended_at))
    with np.load(tmp_path / "rows.npz") as rows:
        np.testing.assert_array_equal(rows["observations"][:, 0], np.arange(first, first + 300))


def test_rows_written_anew_are_those_that_were_packed(packed, tmp_path):
    copy = Path(shutil.copytree(packed, tmp_path / "copy"))
    exhibits.repack(copy)
    before, after = (exhibits.open_exhibit(folder) for folder in (packed, copy))
    np.testing.assert_array_equal(before.dataset.obs, after.dataset.obs)
    assert (copy / "weights.eqx").read_bytes() == (packed / "weights.eqx").read_bytes()
