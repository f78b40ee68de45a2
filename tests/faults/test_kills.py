"""Work cut short by kills at random moments, and by a full disk: taken up again it ends the same, and leaves nothing.

`EVOR_KILLS` says how many kills of each kind of work there are; 29 make 203 in all.
"""

import contextlib
import json
import os
import re
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
SIZES += ["--critic.train.checkpoint-every", "500", "--inference.num-flow-steps", "40"]
SIZES += ["--evaluation.num-episodes", "4"]
EVALUATE = ["evaluate", TASK, *SIZES, "--num-candidates", "1", "2", "4", "8"]
FIGURE = ["figures", "01_data_and_returns", "--preset", "smoke", "--force"]
SUITE = ["suite", "--preset", "smoke", "--tasks", TASK, "--methods", "base", "--episodes-of-data", "5"]
PACK = ["pack", TASK, *SIZES]
# For each kind of work a command, where it leaves what it makes, and what must be away for it to begin.
KINDS = {
    "data": (EVALUATE, "data/*_e40_*", ()),
    "training": (EVALUATE, "runs/*/*-????????/*", ("runs/*",)),
    "bank": (EVALUATE, "runs/*/*/bank/*", ("runs/*/*/bank", "runs/*/critic-*")),
    "episodes": (EVALUATE, "runs/*/*/results/*", ()),
    "figures": (FIGURE, "figures/smoke/*", ()),
    "suite": (SUITE, "figures/results/*", ("runs/*/*/results",)),
    "pack": (PACK, "agents/*", ()),
}
NUM_KILLS = int(os.environ.get("EVOR_KILLS", "4"))


def start(arguments: list[str], home: Path, stderr: int = subprocess.DEVNULL) -> subprocess.Popen:
    temporary = home.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "EVOR_HOME": str(home), "TMPDIR": str(temporary), "CI": "1"}
    command = [sys.executable, "-m", "evor_eqx.cli.main", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stderr)


def state(home: Path, pattern: str) -> list:
    """What a folder looks like, temporary files included."""
    found = []
    for path in (*home.glob(pattern), *home.glob(pattern + "/*")):
        try:
            found.append((path.name, path.stat().st_mtime_ns))
        except FileNotFoundError:
            continue
    return sorted(found)


def kill_at_a_change(
    arguments: list[str], home: Path, pattern: str, rng: np.random.Generator, semaphores: set[str]
) -> bool:
    """Start the command and kill it a moment after a random one of its changes; False if it came to its end before.

    The semaphores that its processes had are added to `semaphores`.
    """
    process, before, changes = start(arguments, home), state(home, pattern), int(rng.integers(1, 5))
    while changes:
        if process.poll() is not None:
            assert process.returncode == 0
            return False
        time.sleep(0.003)
        if (now := state(home, pattern)) != before:
            before, changes = now, changes - 1
    time.sleep(float(rng.uniform(0, 0.05)))
    semaphores.update(re.findall(r"/dev/shm/sem\.mp-\w+", " ".join(processes_of(home, "maps"))))
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while orphans := processes_of(home, "cmdline"):
        assert time.monotonic() < deadline, orphans
        time.sleep(0.1)
    return True


def processes_of(home: Path, what: str) -> list[str]:
    """What /proc says of all processes that work for a home folder, such as their command lines."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            if f"EVOR_HOME={home}\0".encode() in (process / "environ").read_bytes():
                found.append((process / what).read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return found


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
        elif path.suffix not in (".pdf", ".lock") and path.name != "hashes.json":
            found[name] = None  # at least it is there
    return found


def without_figures(found: dict[str, object]) -> dict[str, object]:
    """What `evor evaluate` left, without what the figure's command did."""
    return {
        name: value
        for name, value in found.items()
        if not name.startswith(("figures", "agents")) and "_e5_" not in name
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A home where all commands came to their end."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    assert start(EVALUATE, home).wait() == 0
    assert start(FIGURE, home).wait() == 0
    assert start(PACK, home).wait() == 0
    return home


@pytest.fixture(scope="module")
def undisturbed_suite(tmp_path_factory):
    """A home where the suite came to its end."""
    home = tmp_path_factory.mktemp("suite") / "home"
    assert start(SUITE, home).wait() == 0
    return home


@pytest.mark.fault
@pytest.mark.parametrize("kind", KINDS)
def test_work_that_was_killed_again_and_again_ends_as_if_undisturbed(tmp_path, kind, request):
    arguments, pattern, away = KINDS[kind]
    undisturbed = request.getfixturevalue("undisturbed_suite" if arguments is SUITE else "undisturbed")
    home, rng = tmp_path / "home", np.random.default_rng(list(KINDS).index(kind))
    shutil.copytree(undisturbed, home, ignore=shutil.ignore_patterns("notebooks"))

    def begin_anew() -> None:
        for name in (*away, pattern):
            for path in list(home.glob(name)):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    begin_anew()
    semaphores: set[str] = set()
    for _ in range(NUM_KILLS):
        while not kill_at_a_change(arguments, home, pattern, rng, semaphores):
            begin_anew()
    assert start(arguments, home).wait() == 0
    assert end_result(home) == end_result(undisturbed)
    assert [*(home.parent / "tmp").iterdir(), *(path for path in semaphores if Path(path).exists())] == []


def mount(folder: Path, kilobytes: int, *options: str) -> bool:
    size = ",".join([*options, f"size={kilobytes}k"])
    return (
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], stderr=subprocess.DEVNULL).returncode == 0
    )


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mount(folder, 64):
        pytest.skip("mounting a small file system needs the rights for it")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.fault
def test_a_disk_that_is_full_again_and_again_costs_a_line_each_time_and_nothing_else(undisturbed, small_disk):
    sizes = [path.stat().st_size for name in ("data", "runs") for path in (undisturbed / name).rglob("*.*")]
    num_full = 0
    for share in (0.02, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 2):
        mount(small_disk, 64 + int(share * sum(sizes) / 1024), "remount")
        process = start(EVALUATE, small_disk, stderr=subprocess.PIPE)
        said = process.communicate()[1].decode()
        assert process.returncode in (0, 2), said
        if process.returncode:
            num_full += 1
            assert said.count("\n") == 1 and "no space left" in said and "make room" in said
            assert not list(small_disk.rglob(".writing-*"))
    assert num_full >= 6 and process.returncode == 0
    assert end_result(small_disk) == without_figures(end_result(undisturbed))
    print(f"full {num_full} times")


@pytest.mark.fault
def test_a_folder_that_must_not_be_written_to_is_said_in_a_line(small_disk):
    mount(small_disk, 64, "remount", "ro")
    process = start(EVALUATE, small_disk, stderr=subprocess.PIPE)
    said = process.communicate()[1].decode()
    assert process.returncode == 2 and said.count("\n") == 1 and "is on a read-only disk" in said
