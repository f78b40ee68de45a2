"""Random damage to every kind of file of a home folder: right numbers, or an error that names the file and the cause.

`EVOR_DAMAGES` says how many damages of each kind of file are tried; 30 make 510 in all.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import CONFIG, TASK

from evor_eqx.config import DataConfig
from evor_eqx.data import loading
from evor_eqx.data.sources import SPLITS
from evor_eqx.errors import UserError
from evor_eqx.pipeline import evaluation, identity, stages
from evor_eqx.suite.results import read_results
from evor_eqx.system import paths
from evor_eqx.training import action_bank
from evor_eqx.zoo import exhibits

KINDS = (
    "data/*0.npz",
    "data/*-val.npz",
    "data/*0.json",
    "data/hashes.json",
    "data/*.rows/*/*.float32",
    "many/*.npz",
    "runs/*/*/config.json",
    "runs/*/*/manifest.json",
    "runs/*/*/metrics.jsonl",
    "runs/*/*/checkpoint.eqx",
    "runs/*/*/bank/*.npy",
    "runs/*/*/bank/*.seal",
    "runs/*/*/results/*.jsonl",
    "agents/*/agent.json",
    "agents/*/*.npz",
    "agents/*/*.eqx",
    "record.csv",
)
NUM_DAMAGES = int(os.environ.get("EVOR_DAMAGES", "10"))
NOBODY = 65_534
RECORD = Path(__file__).parents[2] / "figures" / "results" / "suite-laptop-250episodes.csv"


def everything() -> list[np.ndarray]:
    """All numbers that the files stand for: rows, draws, weights, metrics, episodes, the record."""
    many = replace(CONFIG, data=DataConfig(folder=str(paths.data_dir().parent / "many")))
    numbers = []
    for config in (CONFIG, many):
        source = identity.ensure_source(TASK, config)
        datasets = {split: loading.load_dataset(source, TASK, split) for split in SPLITS}
        numbers += [array for data in datasets.values() for array in (data.obs, data.act, data.reward, data.mask)]
    source, policy = identity.ensure_source(TASK, CONFIG), stages.ensure_policy(TASK, CONFIG)
    datasets = {split: loading.load_dataset(source, TASK, split) for split in SPLITS}
    critic = stages.ensure_critic(TASK, CONFIG)
    critic.run.config, policy.run.config  # noqa: B018  they are read
    agent = stages.ensure_agent(TASK, CONFIG)
    (result,) = evaluation.evaluate_settings(agent, TASK, CONFIG.evaluation, [CONFIG.inference])
    numbers += [action_bank.ensure_bank(policy, data.obs, split, CONFIG.critic) for split, data in datasets.items()]
    numbers += jax.tree.leaves((policy.model, critic.model))
    numbers += [column for run in (policy.run, critic.run) for name, column in run.metrics().items() if name != "time"]
    numbers += [np.array([(e.seed, e.ret, e.success, e.length) for e in result.episodes])]
    (folder,) = paths.agents_dir().iterdir()
    exhibit = exhibits.open_exhibit(folder)
    numbers += [*jax.tree.leaves((exhibit.agent.policy, exhibit.agent.critic)), exhibit.dataset.obs]
    rows = read_results(paths.data_dir().parent / "record.csv")
    numbers += [np.array([(row.case.seed, row.case.tau_r, row.success, row.high) for row in rows])]
    return [np.array(number) for number in numbers if not callable(number)]


@pytest.fixture(scope="module")
def undisturbed(module_home):
    """A home folder where all is made, and its numbers."""
    agent = stages.ensure_agent(TASK, CONFIG)
    evaluation.evaluate_settings(agent, TASK, CONFIG.evaluation, [CONFIG.inference])
    for name in ("part1", "part1-val", "part2", "part2-val"):  # a folder of many files, which is memory-mapped
        (module_home / "many").mkdir(exist_ok=True)
        shutil.copyfile(next((module_home / "data").glob(f"*0{name[5:]}.npz")), module_home / "many" / f"{name}.npz")
    exhibits.pack(TASK, CONFIG, module_home / "agents")
    shutil.copyfile(RECORD, module_home / "record.csv")
    return module_home, everything()


def cut(path: Path, rng: np.random.Generator) -> None:
    """Cut the file off at a random place."""
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(len(content)))])


def flip(path: Path, rng: np.random.Generator) -> None:
    """Flip a random bit."""
    content = bytearray(path.read_bytes())
    content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)


def swap(path: Path, rng: np.random.Generator) -> None:
    """Put another file of the home folder in its place: of the same kind, if there is one."""
    home = next(each for each in path.parents if (each / "record.csv").exists())
    files = [each for each in home.rglob("*") if each.is_file() and each.read_bytes() != path.read_bytes()]
    alike = [each for each in files if each.name == path.name or each.suffix == path.suffix] or files
    shutil.copyfile(alike[int(rng.integers(len(alike)))], path)


def remove(path: Path, rng: np.random.Generator) -> None:
    """Remove the file."""
    path.unlink()


def forbid(path: Path, rng: np.random.Generator) -> None:
    """Take away the right to read the file."""
    path.chmod(0)


# What an error may not say of each damage, because it would blame something else.
DAMAGES: dict[Callable, tuple[str, ...]] = {
    cut: ("denied",),
    flip: ("denied",),
    swap: ("denied",),
    remove: ("denied", "damaged"),
    forbid: ("damaged", "checksum", "delete"),
}


@contextlib.contextmanager
def without_roots_rights() -> Iterator[None]:
    """As a user who may read only what a file's mode allows."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def copy_for_all(home: Path, folder: Path) -> Path:
    """A copy of a home folder that every user may change."""
    shutil.rmtree(folder / "home", ignore_errors=True)
    shutil.copytree(home, folder / "home")
    for path in (folder / "home", *(folder / "home").rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    return folder / "home"


@pytest.mark.fault
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named_or_made_again_and_gives_no_wrong_number(undisturbed, monkeypatch, kind):
    home, expected = undisturbed
    rng = np.random.default_rng(KINDS.index(kind))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        monkeypatch.setenv("EVOR_HOME", f"{folder}/home")
        # Files of the user's own that change places are other data, with another fingerprint.
        kinds = [damage for damage in DAMAGES if damage is not swap or not kind.startswith("many")]
        damages = [kinds[index % len(kinds)] for index in range(NUM_DAMAGES)]
        named = [_named(copy_for_all(home, Path(folder)), kind, damage, rng, expected) for damage in damages]
    print(f"{kind}: {sum(named)} of {NUM_DAMAGES} named, the others made again or harmless")


def _named(home: Path, kind: str, damage: Callable, rng: np.random.Generator, expected: list[np.ndarray]) -> bool:
    """Damage a file of a kind and ask for everything. Whether the damage was told; else all numbers are right."""
    files = sorted(home.glob(kind))
    path = files[int(rng.integers(len(files)))]
    before = path.stat()
    damage(path, rng)
    if path.exists():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    what = f"{path.relative_to(home)}, {damage.__name__}"
    try:
        with without_roots_rights() if damage is forbid else contextlib.nullcontext():
            numbers = everything()
    except UserError as error:
        said = str(error)
        assert path.name in said or path.parent.name in said, f"{what}: {said}"
        assert not [word for word in DAMAGES[damage] if word in said], f"{what}: {said}"
        return True
    except OSError as error:  # the command line puts it into words, by its number
        assert damage is forbid and isinstance(error, PermissionError) and error.filename == str(path), what
        return True
    if kind == "record.csv":  # one that ends with an earlier line is a whole record
        numbers[-1] = np.concatenate([numbers[-1], expected[-1][len(numbers[-1]) :]])
    for number, right in zip(numbers, expected, strict=True):
        np.testing.assert_array_equal(number, right, err_msg=what)
    return False
