"""The catalogue: what is found, what is left out, and what cannot be opened."""

import shutil

import pytest
from tiny import TASK

from evor_eqx.errors import UserError
from evor_eqx.runs.run import Run
from evor_eqx.system import paths
from evor_eqx.system.json_records import write_json
from evor_eqx.zoo import catalogue as catalogue_module
from evor_eqx.zoo.catalogue import catalogue


def test_packed_agents_in_the_home_folder_are_listed_whatever_their_folders_are_called(packed):
    shutil.copytree(packed, paths.agents_dir() / "of a friend" / "renamed")
    (listed,) = [listed for listed in catalogue() if listed.label == "packed: of a friend/renamed"]
    assert listed.open().task == listed.task == TASK


def test_records_that_cannot_be_read_hide_no_other_agent(packed, monkeypatch):
    damaged, empty = paths.runs_dir() / "maze" / "critic-damaged" / "config.json", paths.agents_dir() / "agent.json"
    before = [listed.label for listed in catalogue()]
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_text("{")
    write_json(empty, {"facts": {}})
    notes = []
    monkeypatch.setattr(catalogue_module, "note", notes.append)
    assert [listed.label for listed in catalogue()] == before
    assert [str(path) in said for path, said in zip((empty, damaged), notes, strict=True)] == [True, True]
    damaged.unlink()
    empty.unlink()


def test_a_run_that_is_not_finished_or_whose_data_are_gone_is_refused_when_opened(module_home, trained):
    run = Run.named(trained.agent.facts["run"])
    by_label = {listed.label: listed for listed in catalogue()}
    assert by_label[run.path.name].open().task == TASK
    manifest = run.path / "manifest.json"
    content = manifest.read_text()
    try:
        run.begin()
        with pytest.raises(UserError, match="is running, expected a complete one"):
            by_label[run.path.name].open()
    finally:
        manifest.write_text(content)
    (module_home / "data").rename(module_home / "elsewhere")
    try:
        with pytest.raises(UserError, match="no dataset"):
            by_label[run.path.name].open()
    finally:
        (module_home / "elsewhere").rename(module_home / "data")


SHIPPED = [listed for listed in catalogue() if "shipped" in listed.label]


def test_a_maze_and_an_arm_are_shipped():
    assert [listed.task.family for listed in SHIPPED] == ["pointmaze", "cube"]


@pytest.mark.parametrize("listed", SHIPPED, ids=lambda listed: listed.task.name)
def test_what_is_shipped_is_whole_and_small(listed):
    exhibit = listed.open()
    assert exhibit.task == listed.task and len(exhibit.states.rows) >= 100
    assert sum(path.stat().st_size for path in paths.shipped_dir().rglob("*") if path.is_file()) < 6_000_000
