"""Cut off and flipped bytes in every kind of file of a home folder: right numbers, or an error that names the file."""

import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import CONFIG, TASK

from evor_eqx.data import loading
from evor_eqx.data.sources import SPLITS
from evor_eqx.errors import UserError
from evor_eqx.pipeline import evaluation, identity, stages
from evor_eqx.training import action_bank

KINDS = (
    "data/*0.npz",
    "data/*-val.npz",
    "data/*0.json",
    "data/hashes.json",
    "runs/*/*/config.json",
    "runs/*/*/manifest.json",
    "runs/*/*/metrics.jsonl",
    "runs/*/*/checkpoint.eqx",
    "runs/*/*/bank/*.npy",
    "runs/*/*/bank/*.seal",
    "runs/*/*/results/*.jsonl",
)


def everything() -> list[np.ndarray]:
    """All numbers that the files stand for: rows, draws, weights, metrics, episodes."""
    source, policy = identity.ensure_source(TASK, CONFIG), stages.ensure_policy(TASK, CONFIG)
    datasets = {split: loading.load_dataset(source, TASK, split) for split in SPLITS}
    critic = stages.ensure_critic(TASK, CONFIG)
    critic.run.config, policy.run.config  # noqa: B018  they are read
    agent = stages.ensure_agent(TASK, CONFIG)
    (result,) = evaluation.evaluate_settings(agent, TASK, CONFIG.evaluation, [CONFIG.inference])
    numbers = [array for data in datasets.values() for array in (data.obs, data.act, data.reward, data.mask)]
    numbers += [action_bank.ensure_bank(policy, data.obs, split, CONFIG.critic) for split, data in datasets.items()]
    numbers += jax.tree.leaves((policy.model, critic.model))
    numbers += [column for run in (policy.run, critic.run) for name, column in run.metrics().items() if name != "time"]
    numbers += [np.array([(e.seed, e.ret, e.success, e.length) for e in result.episodes])]
    return [np.array(number) for number in numbers if not callable(number)]


@pytest.fixture(scope="module")
def undisturbed(module_home):
    """A home folder where all is made, and its numbers."""
    return module_home, everything()


def damage(path: Path, rng: np.random.Generator) -> str:
    """Cut a file off or flip one of its bits, at a random place and with its old time of change."""
    before, content = path.stat(), bytearray(path.read_bytes())
    place = int(rng.integers(len(content)))
    if flip := bool(rng.integers(2)):
        content[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(content if flip else content[:place])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return f"{path.name} {'flipped' if flip else 'cut off'} at {place}"


@pytest.mark.fault
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_or_made_again_and_gives_no_wrong_number(undisturbed, tmp_path, monkeypatch, kind):
    home, expected = undisturbed
    rng = np.random.default_rng(KINDS.index(kind))
    monkeypatch.setenv("EVOR_HOME", str(tmp_path / "home"))
    named = 0
    for _ in range(10):
        shutil.rmtree(tmp_path / "home", ignore_errors=True)
        shutil.copytree(home, tmp_path / "home")
        files = sorted((tmp_path / "home").glob(kind))
        path = files[int(rng.integers(len(files)))]
        what = damage(path, rng)
        try:
            numbers = everything()
        except UserError as error:
            assert path.name in str(error), f"{what}: {error}"
            named += 1
            continue
        for number, right in zip(numbers, expected, strict=True):
            np.testing.assert_array_equal(number, right, err_msg=what)
    print(f"{kind}: {named} of 10 named, the others made again or harmless")
