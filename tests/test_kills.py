"""Twenty kills at random moments, four in each kind of work; what is taken up again ends the same, bit for bit."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

TASK = "pointmaze-medium-navigate-task1"
SIZES = ["--preset", "smoke", "--data.num-episodes", "40", "--policy.train.num-updates", "3000"]
SIZES += ["--policy.train.checkpoint-every", "500", "--critic.train.num-updates", "3000"]
SIZES += ["--critic.train.checkpoint-every", "500", "--num-flow-steps", "40", "--evaluation.num-episodes", "4"]
EVALUATE = ["evaluate", TASK, *SIZES, "--num-candidates", "1", "2", "4", "8"]
FIGURE = ["figures", "01_data_and_returns", "--preset", "smoke", "--force"]
# For each kind of work a command, where it leaves what it makes, and what must be away for it to begin.
KINDS = {
    "data": (EVALUATE, "data/*_e40_*", ()),
    "training": (EVALUATE, "runs/*/*-????????/*", ("runs/*",)),
    "bank": (EVALUATE, "runs/*/*/bank/*", ("runs/*/*/bank", "runs/*/critic-*")),
    "episodes": (EVALUATE, "runs/*/*/results/*", ()),
    "figures": (FIGURE, "figures/smoke/*", ()),
}
NUM_KILLS = 4


def start(arguments: list[str], home: Path) -> subprocess.Popen:
    environment = {**os.environ, "EVOR_HOME": str(home), "CI": "1"}
    command = [sys.executable, "-m", "evor_eqx.cli", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def state(home: Path, pattern: str) -> list:
    """What a folder looks like, temporary files included."""
    found = []
    for path in (*home.glob(pattern), *home.glob(pattern + "/*")):
        try:
            found.append((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return sorted(found)


def kill_at_a_change(arguments: list[str], home: Path, pattern: str, rng: np.random.Generator) -> bool:
    """Start the command and kill it a moment after a random one of its changes; False if it came to its end before."""
    process, before, changes = start(arguments, home), state(home, pattern), int(rng.integers(1, 6))
    while changes:
        if process.poll() is not None:
            assert process.returncode == 0
            return False
        time.sleep(0.003)
        if (now := state(home, pattern)) != before:
            before, changes = now, changes - 1
    time.sleep(float(rng.uniform(0, 0.05)))
    process.kill()
    process.wait()
    return True


def end_result(home: Path) -> dict[str, object]:
    """All that the commands left, but for clocks and what depends on them."""
    found: dict[str, object] = {}
    for path in (path for path in home.rglob("*") if path.is_file() and "notebooks" not in path.parts):
        name = str(path.relative_to(home))
        if path.suffix in (".npz", ".npy", ".eqx", ".seal", ".png"):
            found[name] = path.read_bytes()
        elif path.name == "metrics.jsonl":
            found[name] = [(row["step"], row["loss"]) for row in map(json.loads, path.open())]
        elif path.parent.name == "results":
            found[name] = sorted(path.read_text().splitlines())
        elif "figures" in path.parts and path.suffix == ".json":
            found[name] = json.loads(path.read_text())["numbers"]
        elif path.suffix != ".pdf" and path.name != "hashes.json":
            found[name] = None  # at least it is there
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A home where all commands came to their end."""
    home = tmp_path_factory.mktemp("undisturbed")
    assert start(EVALUATE, home).wait() == 0
    assert start(FIGURE, home).wait() == 0
    return home


@pytest.mark.fault
@pytest.mark.parametrize("kind", KINDS)
def test_work_that_was_killed_four_times_ends_as_if_undisturbed(undisturbed, tmp_path, kind):
    arguments, pattern, away = KINDS[kind]
    home, rng = tmp_path / "home", np.random.default_rng(list(KINDS).index(kind))
    shutil.copytree(undisturbed, home, ignore=shutil.ignore_patterns("notebooks"))
    for name in (*away, pattern):
        for path in list(home.glob(name)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    killed = [kill_at_a_change(arguments, home, pattern, rng) for _ in range(NUM_KILLS)]
    assert start(arguments, home).wait() == 0
    assert end_result(home) == end_result(undisturbed)
    print(f"{kind}: killed {sum(killed)} times")
