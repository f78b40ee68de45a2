"""Collects an OGBench dataset on all cores. The bits do not depend on the number and kind of the cores.

Every episode has a seed of its own, from (dataset, split, seed, index). So episodes can be collected in any order, by
any number of processes, and twenty are the first twenty of a hundred. They are collected in parts of a few seconds.
Each part is a file in `<name>.parts/`, whole or absent. After a kill, only the missing parts are collected.
"""

import contextlib
import gc
import hashlib
import shutil
import time
import zipfile
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from evor_eqx.data.generation.arm import ArmCollector
from evor_eqx.data.generation.maze import MazeCollector
from evor_eqx.data.generation.recipes import RECIPES, Recipe
from evor_eqx.data.manifests import read_manifest, sizes_and_hashes, val_path, write_manifest
from evor_eqx.envs.dataset_names import dataset_name
from evor_eqx.errors import UserError
from evor_eqx.system.files import remove_leftovers, replacing, short_hash
from evor_eqx.system.locks import lock
from evor_eqx.system.processes import num_cores, workers
from evor_eqx.system.progress import bar, note

DATA_VERSION = 1  # raise it when a change in this folder changes the data
_MAX_PART_ROWS = 5000  # about seven seconds of the arm's physics, half a second of the point's


@dataclass(frozen=True)
class Part:
    """Some consecutive episodes of one split."""

    recipe: Recipe
    split: str  # train or val
    seeds: tuple[int, int]  # 64 bits of (dataset, split), and the user's seed
    first: int  # index of the first episode
    num_episodes: int
    path: Path

    @property
    def num_rows(self) -> int:
        return self.num_episodes * self.recipe.episode_steps


def generate(
    dataset: str, *, num_episodes: int | None = None, seed: int = 0, num_workers: int | None = None, folder: Path
) -> Path:
    """Make `<dataset>_e<num_episodes>_s<seed>.npz`, the same with `-val`, and a manifest `.json`, unless they exist.

    **Arguments:**

    - `dataset`: the dataset's name.
    - `num_episodes`: training episodes, at least 1 (default: the published number). Validation gets a tenth as many.
    - `seed`: at least 0.
    - `num_workers`: processes, at least 1 (default: one per core).
    - `folder`: where the files go.

    **Returns:** the path of the training file.

    **Raises:** UserError for names and numbers out of range, RuntimeError if a worker fails.
    """
    dataset = dataset_name(dataset)
    recipe = _checked_recipe(dataset, num_episodes, seed, num_workers)
    num_episodes = num_episodes or recipe.num_episodes
    path = _path(folder, dataset, num_episodes, seed)
    counts = {"train": num_episodes, "val": max(1, num_episodes // 10)}
    if not is_made(path, recipe):
        with lock(path):
            if not is_made(path, recipe):
                _make(path, dataset, recipe, counts, seed, num_workers)
    shutil.rmtree(path.with_suffix(".parts"), ignore_errors=True)
    return path


def find_generated(dataset: str, *, num_episodes: int | None = None, seed: int = 0, folder: Path) -> Path | None:
    """What `generate` returns for the same arguments if the files exist, else None. Raises UserError as it does."""
    dataset = dataset_name(dataset)
    recipe = _checked_recipe(dataset, num_episodes, seed)
    path = _path(folder, dataset, num_episodes or recipe.num_episodes, seed)
    return path if is_made(path, recipe) else None


def is_made(path: Path, recipe: Recipe) -> bool:
    """Whether both files exist with the sizes that their manifest names, made by this recipe."""
    if not path.with_suffix(".json").is_file():
        return False
    manifest = read_manifest(path)
    sizes = {name: file["bytes"] for name, file in manifest.get("files", {}).items()}
    found = {file.name: file.stat().st_size for file in (path, val_path(path)) if file.is_file()}
    return found == sizes and manifest.get("recipe") == asdict(recipe) and manifest.get("data_version") == DATA_VERSION


def versions() -> dict[str, str]:
    """Versions of what determines the data's bits."""
    return {package: version(package) for package in ("ogbench", "mujoco", "numpy")}


def _path(folder: Path, dataset: str, num_episodes: int, seed: int) -> Path:
    return Path(folder).resolve() / f"{dataset}_e{num_episodes}_s{seed}.npz"


def _checked_recipe(dataset: str, num_episodes: int | None, seed: int, num_workers: int | None = None) -> Recipe:
    for name, value, lowest in (("num_episodes", num_episodes, 1), ("seed", seed, 0), ("num_workers", num_workers, 1)):
        if value is not None and value < lowest:
            raise UserError(f"{name} is {value}, expected at least {lowest}")
    return RECIPES[dataset]


def _make(
    path: Path, dataset: str, recipe: Recipe, num_episodes: dict[str, int], seed: int, num_workers: int | None
) -> None:
    """Collect the parts and join them. The manifest is written last: it says that the two files are whole."""
    start = time.monotonic()
    remove_leftovers(val_path(path))
    parts = {
        split: _parts(path.with_suffix(".parts"), dataset, recipe, split, n, seed) for split, n in num_episodes.items()
    }
    _collect(parts["train"] + parts["val"], dataset, num_workers or num_cores())
    _assemble(parts["train"], path)
    _assemble(parts["val"], val_path(path))
    manifest = {
        "dataset": dataset,
        "origin": "generated",
        "seed": seed,
        "recipe": asdict(recipe),
        "data_version": DATA_VERSION,
    }
    manifest |= {"num_episodes": num_episodes["train"], "num_val_episodes": num_episodes["val"]}
    manifest |= {"num_transitions": num_episodes["train"] * (recipe.episode_steps - 1), "versions": versions()}
    manifest |= {"wall_seconds": round(time.monotonic() - start, 1), "files": sizes_and_hashes(path, val_path(path))}
    write_manifest(path, manifest)


def _parts(folder: Path, dataset: str, recipe: Recipe, split: str, num_episodes: int, seed: int) -> list[Part]:
    """The parts of a split; their names carry a hash of all that determines their bits."""
    fingerprint = short_hash([asdict(recipe), seed, DATA_VERSION, versions()])
    stream = int.from_bytes(hashlib.sha256(f"{dataset}/{split}".encode()).digest()[:8], "little")
    size = max(1, min(num_episodes // 64, _MAX_PART_ROWS // recipe.episode_steps))
    return [
        Part(recipe, split, (stream, seed), first, count, folder / f"{split}-{first:05d}-{count}-{fingerprint}.npz")
        for first in range(0, num_episodes, size)
        for count in [min(size, num_episodes - first)]
    ]


def _collect(parts: list[Part], dataset: str, num_workers: int) -> None:
    """Make the missing parts, in parallel. After Ctrl-C, the parts that were begun are finished and kept."""
    for number in (num_workers, max(1, num_workers // 2)):
        with contextlib.suppress(BrokenProcessPool):  # a process was killed; what was made is kept
            return _collect_missing(parts, dataset, number)
        note(f"{dataset}: a process that makes data was killed, perhaps because memory ran out")
    raise UserError(f"{dataset}: got killed processes twice, expected them to go on; close programs, and try again")


def _collect_missing(parts: list[Part], dataset: str, num_workers: int) -> None:
    if not (missing := [part for part in parts if not _is_whole(part)]):
        return
    rows, left = (sum(part.num_rows for part in some) for some in (parts, missing))
    with bar(rows, dataset, "row", rows - left) as progress, workers(min(num_workers, len(missing))) as pool:
        jobs = {pool.submit(_make_part, part): part for part in missing}
        for job in as_completed(jobs):
            _raise_worker_error(job, jobs[job])
            progress.update(jobs[job].num_rows)


def _raise_worker_error(job: Future, part: Part) -> None:
    error = job.exception()
    if isinstance(error, Exception) and not isinstance(error, OSError | BrokenProcessPool):  # these say it themselves
        episodes = f"{part.split} episodes {part.first} to {part.first + part.num_episodes - 1}"
        raise RuntimeError(f"a worker failed at {episodes} of {part.recipe.env_id}: {error!r}") from error
    if error is not None:
        raise error


def make_collector(recipe: Recipe) -> MazeCollector | ArmCollector:
    """The collector of a recipe. It makes the environment, so keep it (the arms take a second)."""
    return MazeCollector(recipe) if recipe.family in ("pointmaze", "antmaze") else ArmCollector(recipe)


@lru_cache(maxsize=1)
def _collector(recipe: Recipe) -> MazeCollector | ArmCollector:
    """The worker's collector, kept for all its parts and left alone by the garbage collector."""
    collector = make_collector(recipe)
    gc.freeze()
    return collector


def _make_part(part: Part) -> None:
    """Collect a part's episodes and save them (in a worker, which keeps its environment)."""
    seeds = (np.random.SeedSequence([*part.seeds, part.first + k]) for k in range(part.num_episodes))
    episodes = [_collector(part.recipe).episode(seed) for seed in seeds]
    with replacing(part.path) as temporary:
        arrays = {key: np.concatenate([episode[key] for episode in episodes]) for key in episodes[0]}
        np.savez(temporary, allow_pickle=False, **arrays)


def _is_whole(part: Part) -> bool:
    """Whether the part is there and passes its zip checksums."""
    try:
        with zipfile.ZipFile(part.path) as archive:
            return archive.testzip() is None and bool(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _assemble(parts: list[Part], path: Path) -> None:
    """Join parts into one `.npz` while holding one of them in memory.

    Unlike the published files, it is not compressed: it is read many times faster, and at most half as large again.
    Entries have a fixed date, so that equal data give equal files.
    """
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for key in _keys(parts[0]):
            first = _read(parts[0], key)
            shape = (sum(part.num_rows for part in parts), *first.shape[1:])
            header = {"descr": first.dtype.str, "fortran_order": False, "shape": shape}
            with archive.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array_header_1_0(entry, header)
                for part in parts:
                    entry.write(_read(part, key).tobytes())


def _keys(part: Part) -> list[str]:
    with np.load(part.path) as file:
        return file.files


def _read(part: Part, key: str) -> np.ndarray:
    with np.load(part.path) as file:
        return file[key]
