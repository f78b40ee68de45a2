"""Find a dataset, generate it or download it. Its origin and its fingerprint go into every result.

A dataset is a training file and a validation file. OGBench's largest datasets are a folder of many such pairs.

Training and validation always come from one place. The first rule that applies decides which:

1. `folder` is given: all pairs in it.
2. `num_episodes`, a `seed` other than 0, or `published=False` is given: generated here.
3. The published pair lies in OGBench's own folder.
4. The published pair was downloaded earlier by this project, or `download` is given and it is downloaded now.
5. Otherwise it is generated here with the published number of episodes. With `published=True` this is an error.
"""

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from evor_eqx.data import download as downloads
from evor_eqx.data.generation.collect import find_generated, generate, versions
from evor_eqx.data.manifests import check_size, read_manifest, val_path
from evor_eqx.envs.dataset_names import dataset_name
from evor_eqx.errors import UserError
from evor_eqx.system import paths
from evor_eqx.system.files import sha256, short_hash
from evor_eqx.system.json_records import read_json, write_json
from evor_eqx.system.locks import lock

Origin = Literal["generated", "ogbench", "downloaded", "folder", "own"]
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Source:
    """The training and validation data of one origin: files, or `OwnRows`."""

    dataset: str  # full name, e.g. cube-single-play-v0
    # Generated here, found in OGBench's folder, downloaded by this project, a folder that was given, or own arrays.
    origin: Origin
    path: Path  # the training file, or the folder of many
    fingerprint: str  # eight hexadecimal characters from the SHA-256 of all files
    details: dict[str, Any] = field(hash=False)  # files with size and SHA-256; if generated: recipe, seed, versions

    def files(self, *splits: Split) -> list[Path]:
        """The files of these splits, split by split."""
        folder = self.path if self.path.is_dir() else self.path.parent
        names = sorted(self.details["files"])
        return [folder / name for split in splits for name in names if name.endswith("-val.npz") == (split == "val")]


def find_or_make(
    dataset: str,
    *,
    num_episodes: int | None = None,
    seed: int = 0,
    num_workers: int | None = None,
    download: bool = False,
    published: bool | None = None,
    folder: Path | None = None,
) -> Source:
    """Find a dataset by the rules at the top of this module; generate or download it if it is missing.

    **Arguments:**

    - `dataset`: the dataset's name.
    - `num_episodes`: training episodes to generate (None: the published number, or the published files).
    - `seed`, `num_workers`: passed to `generate`.
    - `download`: download the published files if they are not there.
    - `published`: True insists on published files, False on generated ones.
    - `folder`: a folder of training files, each with its validation file.

    **Raises:** UserError for arguments that contradict each other, and for damaged files.
    """
    name = dataset_name(dataset)
    if folder is not None:
        return _in_folder(name, folder)
    generated = num_episodes is not None or seed != 0 or published is False
    if (download or published) and generated:
        raise UserError(
            "got a number of episodes or a seed together with published files: expected one of the two, because a "
            "published dataset has a fixed number of episodes and no seed; drop one of the two"
        )
    if not generated:
        found = _in_ogbench_folder(name) or _downloaded(name, download)
        if found is not None or published:
            return found or _refuse(name)
    path = generate(name, num_episodes=num_episodes, seed=seed, num_workers=num_workers, folder=paths.data_dir())
    return _with_manifest(path, "generated")


def find(dataset: str, *, num_episodes: int | None = None, seed: int = 0, folder: Path | None = None) -> Source | None:
    """What `find_or_make` returns for the same arguments if the files are there, else None.

    **Raises:** UserError for damaged files.
    """
    name = dataset_name(dataset)
    if folder is not None:
        return _in_folder(name, folder)
    if num_episodes is None and seed == 0 and (found := _in_ogbench_folder(name) or _downloaded(name, fetch=False)):
        return found
    path = find_generated(name, num_episodes=num_episodes, seed=seed, folder=paths.data_dir())
    return None if path is None else _with_manifest(path, "generated")


def by_fingerprint(dataset: str, fingerprint: str) -> Source:
    """The files of a dataset that have this fingerprint.

    **Raises:** UserError if they are not on this machine. If files of the dataset are damaged, it names these.
    """
    name = dataset_name(dataset)
    pairs = (path.with_suffix(".npz") for path in sorted(paths.data_dir().glob(f"{name}_*.json")))
    finders: list[Callable[[], Source | None]] = [partial(_generated, path, fingerprint) for path in pairs]
    finders += [partial(_in_ogbench_folder, name), partial(_downloaded, name, False)]
    finders += [partial(_in_folder, name, folder) for folder in _folders_seen()]
    damaged = []
    for find in finders:
        try:
            if (source := find()) is not None and source.fingerprint == fingerprint:
                return source
        except UserError as error:  # another copy may be whole
            damaged.append(error)
    gone = UserError(
        f"no dataset {name} with fingerprint {fingerprint} in {paths.data_dir()}: expected the files that the run was "
        "trained on; they were moved or changed: restore them, or train again"
    )
    raise next(iter(damaged), gone)


def verify(source: Source) -> None:
    """Compare the SHA-256 of all files with the manifest's.

    A file is read again only if its size or its modification time has changed.

    **Raises:** UserError that names the file that differs.
    """
    for file in source.files(*SPLITS):
        check_size(file, source.details)
        expected, got = source.details["files"][file.name]["sha256"], _hash_once(file)["sha256"]
        if got != expected:
            raise UserError(f"damaged file {file}: got SHA-256 {got}, expected {expected}; delete it and make it again")


def _with_manifest(path: Path, origin: Origin) -> Source:
    """A pair that has a manifest beside it; sizes and checksums are compared with the manifest's."""
    manifest = read_manifest(path)
    source = _source(manifest["dataset"], path, origin, manifest)
    verify(source)
    return source


def _generated(path: Path, fingerprint: str) -> Source | None:
    """A generated pair; None, and its files are not read, if its manifest has another fingerprint."""
    named = _fingerprint(read_manifest(path)["files"], [path, val_path(path)])
    return _with_manifest(path, "generated") if named == fingerprint else None


def _fingerprint(manifest: dict[str, Any], files: Sequence[Path]) -> str:
    return short_hash([manifest.get(file.name, {}).get("sha256") for file in files])


def _source(dataset: str, path: Path, origin: Origin, details: dict[str, Any]) -> Source:
    """The files that the details name, with their fingerprint. Their sizes are checked."""
    source = Source(dataset, origin, path, "", details)
    files = source.files(*SPLITS)
    for file in files:
        check_size(file, details)
    return replace(source, fingerprint=_fingerprint(details["files"], files))


def _in_folder(dataset: str, folder: Path) -> Source:
    """All pairs of a folder, as one dataset. Raises UserError if there is none, or if a validation file is missing."""
    folder = folder.resolve()
    pairs = _pairs(folder)
    if not pairs:
        raise UserError(f"no dataset in {folder}: expected files NAME.npz, each with NAME-val.npz; choose another")
    for missing, other in ((file, other) for pair in pairs for file, other in (pair, pair[::-1]) if not file.is_file()):
        raise UserError(f"no file {missing}: expected it beside {other.name}; restore it")
    details = {"dataset": dataset, "files": {file.name: _hash_once(file) for pair in pairs for file in pair}}
    return _source(dataset, folder, "folder", details)


def _pairs(folder: Path) -> list[tuple[Path, Path]]:
    """The training files of a folder, each with its validation file, whether both exist or one."""
    names = {path.stem.removesuffix("-val") for path in folder.glob("[!.]*.npz")}  # not those that macOS leaves
    return [(path, val_path(path)) for path in (folder / f"{name}.npz" for name in sorted(names))]


def _folders_seen() -> list[Path]:
    """The folders whose pairs are complete and were all hashed here before."""
    known = set(map(Path, _hashes()))
    files = {folder: [*itertools.chain(*_pairs(folder))] for folder in sorted({file.parent for file in known})}
    return [folder for folder, all_ in files.items() if all_ and all(f in known and f.is_file() for f in all_)]


def _in_ogbench_folder(dataset: str) -> Source | None:
    """The published pair in OGBench's folder; None if one of the two is missing."""
    path = paths.ogbench_dir() / f"{dataset}.npz"
    if not (path.is_file() and val_path(path).is_file()):
        return None
    files = {file.name: _hash_once(file) for file in (path, val_path(path))}
    return _source(dataset, path, "ogbench", {"dataset": dataset, "files": files, "versions": versions()})


def _hash_once(file: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, remembered in our own data folder by path, size and time of change."""
    stat = file.stat()  # a file that was put in the place of another has another time of change, `ctime`
    state = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
    entry = _hashes().get(str(file), {})
    if {key: entry.get(key) for key in state} != state:
        entry = state | {"sha256": sha256(file)}
        with contextlib.suppress(OSError), lock(_hash_file()):  # in a home of others it is hashed each time
            write_json(_hash_file(), _hashes() | {str(file): entry}, "hashes")
    return {"bytes": entry["bytes"], "sha256": entry["sha256"]}


def _hashes() -> dict[str, dict[str, Any]]:
    """Size, time of change and SHA-256 of each file that was hashed, by path. What cannot be read is hashed again."""
    try:
        entries = read_json(_hash_file(), "hashes")
    except UserError:
        return {}
    return {path: entry for path, entry in entries.items() if isinstance(entry, dict) and "sha256" in entry}


def _hash_file() -> Path:
    return paths.data_dir() / "hashes.json"


def _downloaded(dataset: str, fetch: bool) -> Source | None:
    """The pair that was downloaded earlier, or is downloaded now if `fetch`; None if one of the two is missing."""
    path = downloads.download(dataset) if fetch else downloads.published_dir() / f"{dataset}.npz"
    if not (path.is_file() and val_path(path).is_file() and path.with_suffix(".json").is_file()):
        return None
    return _with_manifest(path, "downloaded")


def _refuse(dataset: str) -> Source:
    raise UserError(
        f"no published files of {dataset}: expected them in {paths.ogbench_dir()} or {downloads.published_dir()}; "
        "download them, or generate the dataset"
    )
