"""Studies: their steps and their files."""

from dataclasses import replace

import pytest

from evor_eqx.cli import main
from evor_eqx.errors import UserError
from evor_eqx.suite.job import STATIONS
from evor_eqx.suite.methods import METHODS
from evor_eqx.suite.workflow import STUDIES, named_study, read_study, write_study

SMALL = STUDIES["small"]


def test_steps_share_what_jobs_share_and_come_after_what_they_need():
    steps = STUDIES["full"].steps()
    counts = {rule: sum(step.rule == rule for step in steps.values()) for rule in STATIONS}
    # Base policies with chunks of 5, and of 1 for QC-1; banks of 1 draw, of 4 for either, and of 32 for QC-5.
    assert counts["data"] == 5 and counts["policy"] == 10 and counts["bank"] == 20
    assert counts["critic"] == 25 * (len(METHODS) - 1) and counts["episodes"] == 25 * len(METHODS)
    done = set()
    for path, step in steps.items():
        assert done.issuperset(step.needs), path
        done.add(path)


def test_the_critics_of_all_seeds_are_one_step_that_needs_each_seeds_bank():
    steps = replace(SMALL, seeds=(0, 1)).steps()
    critic = steps["critic/pointmaze-medium-navigate-task2.scalar"]
    assert critic.needs == tuple(f"bank/pointmaze-medium-navigate-v0.h5.seed{seed}.draws1" for seed in (0, 1))
    assert " --seeds 0 1 " in critic.command
    for seed in (0, 1):
        episodes = steps[f"episodes/pointmaze-medium-navigate-task2.scalar.seed{seed}"]
        assert episodes.needs == (critic.path,) and f" --seeds {seed} " in episodes.command


def test_a_step_is_the_command_of_its_job_up_to_its_station():
    steps = SMALL.steps()
    options = "--preset smoke --episodes-of-data 5"
    task = "pointmaze-medium-navigate-task2"
    critic = steps["critic/pointmaze-medium-navigate-task2.scalar"]
    assert critic.command == f"evor suite --tasks {task} --methods scalar --seeds 0 {options} --until critic"
    assert critic.needs == ("bank/pointmaze-medium-navigate-v0.h5.seed0.draws1",)
    base = steps["episodes/pointmaze-medium-navigate-task2.base.seed0"]
    assert base.needs == ("policy/pointmaze-medium-navigate-v0.h5.seed0",)
    assert steps["figures/00_flow_matching"].needs == tuple(p for p in steps if p.startswith("episodes/"))


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_read_as_it_was_written(name, tmp_path):
    assert read_study(write_study(STUDIES[name], tmp_path / "study.yaml")) == STUDIES[name]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tasks: [cube-single-play]", "no name"),
        ("name: x\nmethod: evor", "got method"),
        ("name: x\ntasks: cube-single-play", "tasks of the study is 'cube-single-play': expected a list of str"),
        ("name: x\nseeds: [0.5]", r"seeds of the study is \[0.5\]: expected a list of int"),
        ("name: x\ntuning: 1", "tuning of the study is 1: expected bool"),
        ("name: x\nmethods: [dqn]", "unknown method 'dqn'"),
        ("name: x\ntasks: [cube]", "cube"),
        ("name: x\npreset: huge", "unknown preset 'huge'"),
        ("- name", "holds list"),
        ("name: [", "is not YAML"),
        ("name: x\nseeds: [0]\nseeds: [1]", "got seeds twice"),
        ("name: x\nseeds: [0, 0]", "expected each once"),
        ("name: x\nseeds: []", "at least one seed"),
        ("name: x\n1: 2", "got 1, expected"),
        ("", "holds NoneType"),
        ("name: !!python/object/apply:os.system [true]", "is not YAML"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused_in_one_line(text, named, tmp_path):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(UserError, match=named) as raised:
        read_study(tmp_path / "study.yaml")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["", "../mine", "a/b", ".hidden", "two words", "x" * 65, "ü", "line\n"])
def test_a_study_of_ones_own_with_a_name_that_no_folder_can_have_is_refused(name):
    with pytest.raises(UserError, match=r"name of the study: got .*, expected up to 64 letters") as raised:
        named_study(name, tasks=SMALL.tasks)
    assert repr(name) in str(raised.value)
    assert named_study("x" * 64, tasks=SMALL.tasks).tasks == SMALL.tasks


def test_the_command_writes_the_file_and_prints_the_plan(tmp_path, home, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main.main(["study", "small"]) == 0
    plan = capsys.readouterr().out
    assert "small.yaml: 1 data, 1 policy, 1 bank, 2 critic, 4 episodes, 1 figures" in plan
    assert read_study(tmp_path / "small.yaml") == SMALL
    assert main.main(["study", "huge"]) == 2
    assert "unknown study 'huge': expected one of full, seeds, small" in capsys.readouterr().err


def test_the_study_of_a_missing_file_says_how_to_write_one(tmp_path):
    with pytest.raises(UserError, match=r"no study .*evor study"):
        read_study(tmp_path / "none.yaml")
