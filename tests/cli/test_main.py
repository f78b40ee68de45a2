"""The command line: help, and one clear line with exit code 2 for what a user can get wrong."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evor_eqx.cli import main as entry
from evor_eqx.cli.main import COMMANDS, main
from evor_eqx.cli.runs import Runs


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_succeeds(evor, command):
    code, out, err = evor(command, "--help")
    assert code == 0 and not err
    assert f"usage: evor {command}" in out


def test_help_names_every_command(evor):
    code, out, err = evor("--help")
    assert code == 0 and not err
    assert all(f"• {command} " in out for command in COMMANDS)


def test_help_says_what_a_field_means_and_its_usual_range(evor):
    _, out, _ = evor("train", "--help")
    text = " ".join(out.replace("│", " ").split())
    assert "Hidden layers; 1 to 6." in text
    assert "The flow's regression target: velocity (the paper's), bootstrap, coupled, dcfm or mc" in text


def test_help_that_needs_no_critic_does_not_load_jax():
    code = """
import sys
from evor_eqx.cli.main import main
commands = [[], *([name] for name in ("data", "suite", "study", "figures", "course", "runs", "bench"))]
for command in commands:
    try:
        main([*command, "--help"])
    except SystemExit as stop:
        assert stop.code == 0
    assert "jax" not in sys.modules, command
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


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
        (["train", "cube-single-play", "--critic", "flaw"], ["flaw", "flow"]),
        (["train", "cube-single-play", "--critic"], ["--critic", "evor train --help"]),
        (["train", "cube-single-play", "--critic.target", "mean"], ["mean", "bootstrap"]),
        (["train", "cube-single-play", "--critic.train.batch-size", "0"], ["batch_size", "0"]),
        (["train", "cube-single-play", "--policy.network.depth", "many"], ["--policy.network.depth", "many"]),
        (["train", "cube-single-play", "--setting.tau-r", "3"], ["--setting.tau-r"]),
        (["train"], ["NAME", "required", "evor train --help"]),
        (
            ["train", "cube-single-play", "--preset", "smoke", "--all-tasks", "--critic.network.head-width", "0"],
            ["head_width 0", "set head_width to 64"],
        ),
        (["evaluate", "cube-single-play-task2", "--num-candidates", "0"], ["num_candidates", "0"]),
        (["evaluate", "cube-single-play-task2", "--tau-r", "-1"], ["tau_r", "-1"]),
        (["evaluate", "cube-single-play-task2", "--inference.tau-r", "-1"], ["tau_r", "-1"]),
        (["evaluate", "cube-single-play-task2", "--reward-timing", "late"], ["late", "'pre'"]),
        (
            ["train", "cube-single-play", "--preset", "paper", "--policy.chunk-length", "5"],
            ["n_step is 1", "chunk_length, 5"],
        ),
        (
            ["train", "cube-single-play", "--policy.train.log-every", "300"],
            ["checkpoint_every", "multiple of log_every"],
        ),
        (["pack", "cube-single-play-task2", "--critic", "c51", "--critic.solver", "adams"], ["c51", "critic.solver"]),
        (["suite", "--methods", "evar"], ["evar", "base, evor"]),
        (["suite", "--episodes-of-data", "0"], ["num_episodes", "0"]),
        (["suite", "--preset", "lapptop"], ["lapptop", "laptop"]),
        (["study", "smal"], ["smal", "small"]),
        (["figures", "no-such-notebook"], ["no-such-notebook"]),
        (["figures", "01_data_and_returns", "--parameter", "taks=cube"], ["taks", "task"]),
        (["course", "--preset", "lapptop"], ["lapptop", "laptop"]),
        (["no-such-command"], ["no-such-command", "evaluate"]),
        ([], ["data", "bench", "evor --help"]),
    ],
)
def test_bad_input_gives_the_value_what_was_expected_and_code_2(evor, home, arguments, words):
    code, out, err = evor(*arguments)
    assert code == 2
    assert "Traceback" not in out + err
    (line,) = err.splitlines()
    assert line.startswith("evor: ")
    for word in words:
        assert word in line
    assert not list(home.rglob("*.eqx"))


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            2,
            "make room, also in /dev/shm, which processes share; what was saved is kept",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/runs"), 2, "/runs"),
        (KeyboardInterrupt(), 130, "the same command goes on from there"),
    ],
)
def test_what_stops_a_command_gives_one_line_and_its_exit_code(evor, monkeypatch, error, code, words):
    def stop(self):
        raise error

    monkeypatch.setattr(Runs, "run", stop)
    assert evor("runs")[0] == code
    assert words in evor("runs")[2]


def test_only_commands_that_compute_switch_on_the_store_of_compiled_programs(monkeypatch):
    switched = []
    monkeypatch.setattr(entry, "_keep_compiled", lambda: switched.append(True))
    for name, command in COMMANDS.items():
        switched.clear()
        monkeypatch.setattr(command, "run", lambda self: 0)
        needed = dict.fromkeys(("data", "train", "evaluate", "pack"), "cube-single-play")
        needed |= {"study": "small", "expert": "ant", "export": "explorer"}
        assert main([name, needed[name]] if name in needed else [name]) == 0
        assert bool(switched) == (name in ("train", "evaluate", "suite", "expert", "pack", "bench"))


def shell(line: str, home: Path, **variables: str) -> tuple[int, str]:
    """A command in a shell, as a new process; its exit code and what it says on stderr."""
    environment = {**os.environ, "EVOR_HOME": str(home), **variables}
    evor = f"{sys.executable} -m evor_eqx.cli.main"
    done = subprocess.run(["bash", "-c", line.replace("evor ", f"{evor} ")], env=environment, capture_output=True)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("evor runs >&-", 0, ""),
        ("evor runs >&- 2>&-", 0, ""),
        ("evor runs --nonsense 2>&-", 2, ""),
        ("evor doctor >/dev/full", 2, "no space left"),
        ("touch $EVOR_HOME.file; EVOR_HOME=$EVOR_HOME.file evor runs", 2, "EVOR_HOME: got a file"),
        ("ln -s nowhere $EVOR_HOME.link; EVOR_HOME=$EVOR_HOME.link evor runs", 2, "got a link to"),
        ("EVOR_HOME='~nobody-of-this-name' evor runs", 2, "EVOR_HOME: got ~nobody"),
        ("MUJOCO_GL=nonsense evor runs", 0, "MUJOCO_GL=nonsense is ignored"),
        ("SLURM_CPUS_PER_TASK=² evor doctor", 0, ""),
        ("evor data nofile.npz --describe", 2, "no file nofile.npz"),
    ],
)
def test_odd_surroundings_are_one_line(tmp_path, line, code, words):
    got, said = shell(line, tmp_path / "home")
    assert (got, said.count("\n")) == (code, bool(words)), said
    assert words in said


@pytest.mark.slow
def test_a_kind_of_device_that_is_not_there_is_named(tmp_path):
    got, said = shell("evor train pointmaze-medium-navigate-task1 --preset smoke", tmp_path, JAX_PLATFORMS="cuda")
    assert got == 2 and said.count("\n") == 1 and "JAX_PLATFORMS is cuda" in said
