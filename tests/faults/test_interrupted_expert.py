"""`evor expert ant` that is killed again and again ends as an undisturbed one, bit for bit."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

# The command as it is, but with a training that takes seconds.
SCRIPT = """
import sys
from evor_eqx.cli.main import main
from evor_eqx.training.expert import ant
from evor_eqx.training.expert.sac import SacConfig
sac = SacConfig(width=8, depth=1, batch_size=4)
tiny = ant.ExpertConfig(num_steps=200, num_random_steps=20, block=10, log_every=20, sac=sac)
ant.ExpertConfig = lambda num_steps, seed: tiny
sys.exit(main(["expert", "ant"]))
"""


def start(home: Path) -> subprocess.Popen:
    environment = {**os.environ, "EVOR_HOME": str(home), "CI": "1"}
    return subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.DEVNULL)


def rows(home: Path) -> list[dict]:
    """Whole rows of the metrics, without clocks and what depends on them."""
    lines = [line for path in home.glob("runs/ant/*/metrics.jsonl") for line in path.open() if line[-1:] == "\n"]
    return [{k: v for k, v in json.loads(line).items() if k not in ("time", "checksum")} for line in lines]


def files(home: Path) -> dict[str, bytes]:
    """The checkpoint, all snapshots, and the actor that is handed out."""
    return {path.name: path.read_bytes() for path in home.glob("runs/ant/*/*") if path.suffix in (".eqx", ".npz")}


@pytest.mark.fault
def test_a_killed_training_of_the_ant_goes_on_and_ends_the_same(tmp_path):
    undisturbed, home, rng = tmp_path / "undisturbed", tmp_path / "home", np.random.default_rng(0)
    assert start(undisturbed).wait() == 0
    for num_rows in (1, 3, 6):
        process = start(home)
        while len(rows(home)) < num_rows:
            assert process.poll() is None
            time.sleep(0.003)
        time.sleep(float(rng.uniform(0, 0.3)))
        process.kill()
        assert process.wait() < 0
    assert len(rows(home)) < 10
    assert start(home).wait() == 0
    assert files(home) == files(undisturbed)
    assert rows(home) == rows(undisturbed)
    assert [row["step"] for row in rows(home)] == list(range(20, 201, 20))
    assert not list(home.rglob("*.lock")) and not list(home.rglob(".writing-*"))
