"""Generations of data that are killed go on and end as an undisturbed one, bit for bit."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evor_eqx.data.generation import collect
from evor_eqx.data.generation.recipes import RECIPES
from evor_eqx.data.manifests import val_path
from evor_eqx.system import progress

# The steps of an episode make parts of some tenths of a second.
EPISODE_STEPS = {"pointmaze-medium-navigate-v0": 1500, "antmaze-medium-navigate-v0": 100}

# No guard of `__main__`: workers do not run the script again.
SCRIPT = """
import dataclasses, sys
from pathlib import Path
from evor_eqx.data.generation.collect import generate
from evor_eqx.data.generation.recipes import RECIPES
folder, dataset, episode_steps = sys.argv[1:]
RECIPES[dataset] = dataclasses.replace(RECIPES[dataset], episode_steps=int(episode_steps))
generate(dataset, num_episodes=30, num_workers=2, folder=Path(folder))
"""


@pytest.mark.fault
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("dataset", EPISODE_STEPS)
def test_a_killed_generation_is_taken_up_again_and_ends_the_same(monkeypatch, tmp_path, dataset, how):
    episode_steps = EPISODE_STEPS[dataset]
    monkeypatch.setitem(RECIPES, dataset, dataclasses.replace(RECIPES[dataset], episode_steps=episode_steps))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), dataset, str(episode_steps)],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore Ctrl-C
    )
    parts = tmp_path / f"{dataset}_e30_s0.parts"
    while len(list(parts.glob("[!.]*.npz"))) < 4:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(timeout=180) != 0  # a worker that is still starting first ends its part: slow beside other work
    kept = sorted(parts.glob("[!.]*.npz"))
    assert len(kept) >= 4
    assert not (tmp_path / f"{dataset}_e30_s0.json").exists()
    kept[0].write_bytes(kept[0].read_bytes()[:1000])  # a damaged part is made again
    (parts / "train-00000-1-stale000.npz").write_bytes(b"of another recipe")
    untouched = kept[1].stat().st_mtime_ns
    seen = []

    def spy(total, description, unit, done):
        seen.append((done, kept[1].stat().st_mtime_ns))
        return progress.bar(total, description, unit, done)

    with monkeypatch.context() as patch:
        patch.setattr(collect, "bar", spy)
        resumed = collect.generate(dataset, num_episodes=30, num_workers=2, folder=tmp_path)
    assert seen[0][0] >= 3 * episode_steps
    assert seen[0][1] == untouched
    assert digests(resumed) == digests(collect.generate(dataset, num_episodes=30, folder=tmp_path / "undisturbed"))


def digests(path: Path) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, val_path(path))]
