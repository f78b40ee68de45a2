"""The command line: help, and one clear line with exit code 2 for what a user can get wrong."""

import pytest

from evor_eqx.cli.main import main
from evor_eqx.runs.run import Run


def run(capsys, *arguments):
    try:
        code = main(arguments)
    except SystemExit as stop:  # tyro leaves this way, for help (0) and for arguments that it cannot read (2)
        code = stop.code
    output = capsys.readouterr()
    return code, output.out, output.err


@pytest.mark.parametrize("command", ["data", "train", "evaluate", "suite", "figures", "course", "runs"])
def test_help_of_every_command_succeeds(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert "usage: evor" in out.replace("\n", " ") or "usage: evor" in out


def test_help_says_what_a_field_means_and_its_usual_range(capsys):
    _, out, _ = run(capsys, "train", "--help")
    text = " ".join(out.replace("│", " ").split())
    assert "Hidden layers; 1 to 6." in text
    assert "The flow's regression target: velocity (the paper's), bootstrap, coupled, dcfm or mc." in text


def test_the_preset_decides_the_other_defaults(capsys):
    _, laptop, _ = run(capsys, "train", "--preset", "laptop", "--help")
    _, paper, _ = run(capsys, "train", "--preset=paper", "--help")
    assert "(default: 1000000)" in paper and "(default: 1000000)" not in laptop


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["data", "pointmaze-medum-navigate"],
            ["pointmaze-medum-navigate", "did you mean", "pointmaze-medium-navigate"],
        ),
        (["data", "cube-single-play", "--num-episodes", "0"], ["0"]),
        (["data", "cube-single-play", "--seed", "-1"], ["-1"]),
        (["train", "cube-single-play-task9"], ["9", "1 to 5"]),
        (["train", "cube-single-play", "--preset", "lapptop"], ["lapptop", "laptop"]),
        (["train", "cube-single-play", "--critic.target", "mean"], ["mean", "bootstrap"]),
        (["train", "cube-single-play", "--critic.train.batch-size", "0"], ["batch_size", "0"]),
        (["train", "cube-single-play", "--policy.network.depth", "many"], ["many"]),
        (
            ["train", "cube-single-play", "--preset", "smoke", "--all-tasks", "--critic.network.head-width", "0"],
            ["head_width 0", "set head_width to 64"],
        ),
        (["evaluate", "cube-single-play-task2", "--num-candidates", "0"], ["num_candidates", "0"]),
        (["evaluate", "cube-single-play-task2", "--tau-r", "-1"], ["tau_r", "-1"]),
        (["evaluate", "cube-single-play-task2", "--reward-timing", "late"], ["late", "'pre'"]),
        (
            ["train", "cube-single-play", "--preset", "paper", "--policy.chunk-length", "5"],
            ["n_step is 1", "chunk_length, 5"],
        ),
        (
            ["train", "cube-single-play", "--policy.train.log-every", "300"],
            ["checkpoint_every", "multiple of log_every"],
        ),
        (["suite", "--methods", "evar"], ["evar", "base, evor"]),
        (["suite", "--episodes-of-data", "0"], ["num_episodes", "0"]),
        (["figures", "no-such-notebook"], ["no-such-notebook"]),
        (["figures", "01_data_and_returns", "--parameter", "taks=cube"], ["taks", "task"]),
        (["no-such-command"], ["no-such-command"]),
    ],
)
def test_bad_input_gives_the_value_what_was_expected_and_code_2(capsys, home, arguments, words):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert "Traceback" not in out + err
    for word in words:
        assert word in out + err
    assert not list(home.rglob("*.eqx"))


def test_runs_lists_every_run_with_its_status(capsys, home):
    Run.open("cube", "policy", {"seed": 0}).begin()
    Run.open("cube", "critic-mc", {"seed": 0}).finish()
    code, out, _ = run(capsys, "runs")
    assert code == 0
    lines = out.strip().splitlines()
    assert len(lines) == 2
    assert "complete" in lines[0] and "critic-mc" in lines[0]
    assert "running" in lines[1] and "policy" in lines[1]
    (Run.of("cube", "policy", {"seed": 0}).path / "metrics.jsonl").write_text("{\n")
    code, out, _ = run(capsys, "runs")
    assert code == 0 and out.splitlines()[0] == lines[0]
    assert "damaged" in out.splitlines()[1] and "metrics.jsonl" in out.splitlines()[1]
