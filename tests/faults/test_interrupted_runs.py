"""Trainings that are stopped, killed or wanted by several processes end as an undisturbed one, bit for bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny import TASK

COMMAND = [sys.executable, "-m", "evor_eqx.cli.main", "train", TASK.name, "--preset", "smoke"]
COMMAND += ["--data.num-episodes", "1", "--critic.train.num-updates", "4000", "--critic.train.checkpoint-every", "2000"]


def start(home: Path) -> subprocess.Popen:
    """The command in a home of its own; it obeys Ctrl-C also where the tests, a shell's background job, ignore it."""
    environment = {**os.environ, "EVOR_HOME": str(home), "CI": "1"}
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, handler)


def rows(home: Path) -> list[dict]:
    """Whole rows of the critic's metrics."""
    return [
        json.loads(line)
        for path in home.glob("runs/*/critic*/metrics.jsonl")
        for line in path.open()
        if line[-1:] == "\n"
    ]


def wait_for_updates(home: Path, process: subprocess.Popen) -> None:
    """Until the critic has been trained for 700 updates."""
    while not rows(home) or rows(home)[-1]["step"] < 700:
        assert process.poll() is None, "the run ended before it could be stopped"
        time.sleep(0.01)


def checkpoint(home: Path) -> bytes:
    (path,) = home.glob("runs/*/critic*/checkpoint.eqx")
    return path.read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The home of a command that ran to its end."""
    home = tmp_path_factory.mktemp("undisturbed")
    assert start(home).wait() == 0
    return home


def with_its_data(undisturbed: Path, home: Path) -> Path:
    """A home that holds the dataset and the base policy already, to save time."""
    shutil.copytree(undisturbed, home, ignore=lambda folder, names: [n for n in names if n.startswith("critic")])
    return home


def assert_same(home: Path, undisturbed: Path) -> None:
    """The same parameters and the same record, and nothing left over."""
    assert checkpoint(home) == checkpoint(undisturbed)
    assert [(r["step"], r["loss"]) for r in rows(home)] == [(r["step"], r["loss"]) for r in rows(undisturbed)]
    assert not list(home.rglob("*.lock")) and not list(home.rglob(".writing-*"))


@pytest.mark.fault
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_run_at_its_blocks_end_and_nothing_is_lost(undisturbed, tmp_path, how, code):
    home = with_its_data(undisturbed, tmp_path / "home")
    process = start(home)
    wait_for_updates(home, process)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    last = rows(home)[-1]["step"]
    assert last < 2000, "stopped before its first checkpoint"
    stopping, saved = said.splitlines()
    assert "stopping at the end of this block" in stopping
    assert f"is saved at {last} updates; the same command goes on from there" in saved
    assert start(home).wait() == 0
    assert_same(home, undisturbed)


@pytest.mark.fault
@pytest.mark.parametrize("num_processes", [2, 8])
def test_processes_that_want_one_dataset_and_one_run_make_them_once(undisturbed, tmp_path, num_processes):
    home = tmp_path / "home"
    processes = [start(home) for _ in range(num_processes)]
    assert [process.wait() for process in processes] == [0] * num_processes
    assert_same(home, undisturbed)  # a second training would have written each row twice


@pytest.mark.fault
def test_a_killed_run_is_taken_over_by_who_waits_for_it_and_ends_the_same_bit_for_bit(undisturbed, tmp_path):
    home = with_its_data(undisturbed, tmp_path / "home")
    pair = [start(home), start(home)]
    wait_for_updates(home, pair[0])
    (lock,) = home.glob("runs/*/critic*.lock")
    (holder,) = [process for process in pair if f"process {process.pid} on" in lock.read_text()]
    (lock.with_suffix("") / ".writing-checkpoint.abcd1234.eqx").write_bytes(b"half")
    holder.kill()
    (heir,) = {*pair} - {holder}
    assert holder.wait() == -signal.SIGKILL and 0 < rows(home)[-1]["step"] < 4000
    assert heir.wait() == 0
    assert_same(home, undisturbed)
