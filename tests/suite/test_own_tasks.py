"""A file with a task and a flow target of one's own, in every command: train, evaluate, suite, runs, data, study."""

import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
from suite.test_results import make_row

from evor_eqx.cli.main import COMMANDS, main
from evor_eqx.cli.parsing import parse
from evor_eqx.critics import flow_targets
from evor_eqx.errors import UserError
from evor_eqx.suite import curves, tables
from evor_eqx.suite.runner import Suite
from evor_eqx.suite.workflow import read_study

pytestmark = pytest.mark.slow
MINE = """
import own
import evor_eqx as evor

@evor.register_flow_target("half")
def half(step, z_0, t, *, key):
    z_1 = step.backup(step.transport(z_0))
    return (1 - t) * z_0 + t * z_1, z_1 - z_0

def line():
    return evor.custom_task(
        "line", *own.datasets(), make_env=own.line, gamma=0.9, reference_returns=(-60.0, 0.0)
    )
"""


@pytest.fixture(scope="module")
def mine(module_home, tmp_path_factory):
    """A Python file that defines a task and a flow target."""
    path = tmp_path_factory.mktemp("mine") / "mine_of_the_suite.py"
    path.write_text(MINE)
    return path


@pytest.fixture(scope="module")
def done(mine):
    """The suite on the own task, with the own target as a method."""
    arguments = ["--tasks", f"{mine}:line", "--methods", "base", f"{mine}:half", "--preset", "smoke"]
    assert main(["suite", *arguments]) == 0
    return Suite.of([f"{mine}:line"], ["base", "half"], preset="smoke")


def test_results_have_returns_and_scores_where_success_is_unknown(done):
    rows = done.rows()
    assert {row.case.method for row in rows} == {"base", "half"} and {row.case.task for row in rows} == {"line"}
    for row in rows:
        assert row.success is None and row.ret_low <= row.ret <= row.ret_high < 0
        assert row.score == pytest.approx(100 * (row.ret + 60) / 60, abs=0.01)
        assert row.case.dataset_origin == "own" and ":line --methods" in row.command
    assert done.left() == [] and "all 2 jobs are done" in done.describe_left()


def test_tables_and_curves_show_returns(done):
    table = tables.markdown(done.rows())
    assert re.search(r"\| return \| base \| half \|", table) and "score" in table
    reported = [row.ret for row in done.rows() if row.case.method == "half" and row.case.reported]
    assert f"**{np.mean(reported):.1f}**" in table
    by_updates = curves.against_updates(done.rows(), "half")
    assert set(by_updates) == {"line"} and max(by_updates["line"]) == 600  # the only task of its data is seen in depth
    last = [row.ret for row in done.rows() if row.case.method == "half" and row.case.step == 600]
    assert by_updates["line"][600].estimate == pytest.approx(np.mean(last))


def test_a_second_call_does_nothing(done, mine, capsys):
    arguments = ["--tasks", f"{mine}:line", "--methods", "base", "half", "--preset", "smoke"]
    assert main(["suite", *arguments]) == 0
    assert "all 2 jobs are done" in capsys.readouterr().out


def test_evaluate_and_runs_name_the_own_code_and_show_returns(done, mine, capsys):
    flags = ["--preset", "smoke", "--critic.target", f"{mine}:half"]
    assert main(["evaluate", f"{mine}:line", *flags, "--num-candidates", "1", "4"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["N_pi", "tau_R", "tau_Q"] and "return" in header and "score" in header
    assert "success" not in header and len(rows) == 2
    assert main(["runs"]) == 0
    assert re.search(r"line/critic-half-\w+  own half [0-9a-f]{6}", capsys.readouterr().out)


def test_data_are_described_from_a_task_and_from_a_file(mine, tmp_path, capsys):
    import own

    assert main(["data", f"{mine}:line", "--describe"]) == 0
    of_task = capsys.readouterr().out
    np.savez(tmp_path / "rows.npz", **own.record(6, 0))
    assert main(["data", str(tmp_path / "rows.npz"), "--describe"]) == 0
    of_file = capsys.readouterr().out
    for fact in ("episodes", "return of an episode", "steps"):
        assert fact in of_task and fact in of_file
    (quartiles,) = re.findall(r"quartiles (.*\d)", of_file)
    assert quartiles in of_task


def test_a_study_of_an_own_task_is_a_workflow_of_its_stages(mine, tmp_path, capsys):
    path = tmp_path / "study.yaml"
    names = ["--tasks", f"{mine}:line", "--methods", "base", f"{mine}:half", "--preset", "smoke"]
    assert main(["study", "mine", *names, "--to", str(path)]) == 0
    steps = read_study(path).steps()
    assert {step.rule for step in steps.values()} == {"data", "policy", "bank", "critic", "episodes"}
    assert all(f"--tasks {mine}:line" in step.command for step in steps.values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "{mine}:nothing"], "has no 'nothing'"),
        (["train", "missing.py:line"], "no file missing.py"),
        (["suite", "--tasks", "{mine}:line", "--methods", "unknown"], "registered"),
        (["train", "pointmaze-medium-navigate", "--critic", "{mine}:nothing"], "nothing"),
    ],
)
def test_what_a_file_does_not_have_is_one_line_on_the_command_line(mine, capsys, arguments, said):
    assert main([argument.format(mine=mine) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_an_edited_environment_or_other_reference_returns_make_a_job_due_again(done, mine):
    """The task of a file that was edited is another one; its results of before do not count for it."""
    before = {row.case.own_task for row in done.rows()}
    assert len(before) == 1 and "" not in before
    for edit in (("-60.0", "-70.0"), ("make_env=own.line", "make_env=lambda: own.Line(21)")):
        mine.write_text(MINE.replace(*edit))
        suite = Suite.of([f"{mine}:line"], ["base", "half"], preset="smoke")
        assert len(suite.left()) == 2
    mine.write_text(MINE)
    assert Suite.of([f"{mine}:line"], ["base", "half"], preset="smoke").left() == []


def test_two_tasks_of_one_name_are_refused(mine, tmp_path):
    other = tmp_path / "another_of_the_suite.py"
    other.write_text(MINE.replace('"half"', '"half_again"').replace("gamma=0.9", "gamma=0.8"))
    with pytest.raises(UserError, match=r"two tasks of the name line, .*:line and .*:line, .*rename one"):
        Suite.of([f"{mine}:line", f"{other}:line"], ["base"], preset="smoke")


@pytest.mark.parametrize("name", ["evor", "qc5"])
def test_an_own_target_of_the_name_of_a_method_is_refused(name, monkeypatch):
    monkeypatch.setitem(flow_targets.TARGETS, name, lambda step, z_0, t, *, key: (z_0, z_0))
    with pytest.raises(UserError, match=f"method '{name}': got a method of the suite and .*another name"):
        Suite.of(["cube-single-play-task2"], [name], preset="smoke")


def test_an_own_task_may_be_called_like_one_of_ogbench_and_like_a_file():
    for name in ("reach-task1", "swing.py"):
        case = replace(make_row(name).case, dataset_origin="own", own_task="1a2b3c")
        assert (case.environment, case.dataset) == (name, name)


def test_a_command_finds_its_task_after_the_name_of_a_critic(mine):
    flags = ["--preset", "smoke", "--critic", f"{mine}:flow", f"{mine}:line"]
    command = parse(COMMANDS, ["train", *flags])
    assert (command.name, command.config.critic.kind) == (f"{mine}:line", "flow")


def test_the_command_of_a_job_is_read_by_a_shell(mine):
    folder = mine.parent / "a folder"
    folder.mkdir()
    (folder / "mine_elsewhere.py").write_text(MINE.replace('"half"', '"half_elsewhere"').replace('"line"', '"other"'))
    (job,) = Suite.of([f"{folder}/mine_elsewhere.py:line"], ["base"], preset="smoke").jobs
    assert shlex.split(job.command())[:4] == ["evor", "suite", "--tasks", f"{folder}/mine_elsewhere.py:line"]
