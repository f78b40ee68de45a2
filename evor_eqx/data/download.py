"""Download published datasets: from several mirrors, with repeated tries; files are whole or absent.

OGBench publishes no checksums. So the first download is trusted, and its SHA-256 is kept in a manifest beside the file.
Later downloads must be the same.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pooch

from evor_eqx.data.manifests import read_manifest, sizes_and_hashes, val_path, write_manifest
from evor_eqx.envs.dataset_names import dataset_name
from evor_eqx.errors import UserError
from evor_eqx.system import paths
from evor_eqx.system.files import replacing, sha256
from evor_eqx.system.locks import lock
from evor_eqx.system.progress import bar

REQUIRED_KEYS = frozenset({"observations", "actions", "terminals", "qpos"})


def download(
    dataset: str,
    *,
    folder: Path | None = None,
    mirrors: Sequence[str] | None = None,
    num_tries: int = 4,
    first_wait: float = 1.0,
) -> Path:
    """Download `<dataset>.npz` and `<dataset>-val.npz` unless they are there.

    **Arguments:**

    - `dataset`: the dataset's name.
    - `folder`: where the files go (default: `published_dir()`).
    - `mirrors`: addresses of folders, tried in turn (default: `default_mirrors()`).
    - `num_tries`: rounds over all mirrors, at least 1.
    - `first_wait`: seconds of the pause after the first round. Each later pause is twice as long as the one before.

    **Returns:** the path of the training file.

    **Raises:** UserError if no mirror delivers a whole dataset, or if it differs from the first download.
    """
    path = (folder or published_dir()) / f"{dataset_name(dataset)}.npz"
    for file in (path, val_path(path)):
        with lock(file):
            manifest = _read_manifest(path)
            known = manifest["files"].get(file.name, {}).get("sha256")
            if not (file.is_file() and sha256(file) == known):
                manifest["url"] = _fetch(file, list(mirrors or default_mirrors()), known, num_tries, first_wait)
                manifest["files"] |= sizes_and_hashes(file)
                write_manifest(path, manifest)
    return path


def published_dir() -> Path:
    """The folder of downloads. OGBench's own folder is only read."""
    return paths.data_dir() / "published"


def default_mirrors() -> list[str]:
    """The addresses in `$EVOR_MIRRORS`, separated by blanks, then the one that OGBench itself uses."""
    from ogbench.utils import DATASET_URL

    return [*os.environ.get("EVOR_MIRRORS", "").split(), DATASET_URL]


def _read_manifest(path: Path) -> dict[str, Any]:
    if path.with_suffix(".json").is_file():
        return read_manifest(path)
    return {"dataset": path.stem, "origin": "downloaded", "files": {}}


def _fetch(file: Path, mirrors: list[str], known: str | None, num_tries: int, first_wait: float) -> str:
    """Download one file from the first mirror that delivers it; return the mirror's address."""
    problems, left = {}, list(mirrors)
    for round_number in range(num_tries):
        for mirror in list(left):
            try:
                _fetch_once(f"{mirror.rstrip('/')}/{file.name}", file, known)
                return mirror
            except UserError as error:  # it has another file than the first download, and will have it again
                problems[mirror] = error
                left.remove(mirror)
            except OSError as error:  # so are the errors of `requests`, and a damaged file here
                problems[mirror] = error
        if not left:
            break
        if round_number < num_tries - 1:
            time.sleep(first_wait * 2**round_number)
    reasons = "; ".join(f"{mirror}: {error}" for mirror, error in problems.items())
    raise UserError(
        f"could not download {file.name} in {round_number + 1} tries ({reasons}); try again later, name a mirror in "
        "$EVOR_MIRRORS, or leave the download away to generate the dataset here"
    )


def _fetch_once(url: str, file: Path, known: str | None) -> None:
    """Download `url` to `file`, which appears only if it is whole, readable and the same as at the first download."""
    with replacing(file) as temporary:
        _stream(url, temporary)
        _check_readable(temporary, url)
        got = sha256(temporary)
        if known is not None and got != known:
            raise UserError(
                f"{file.name} from {url} differs from the first download: got SHA-256 {got}, expected {known}. Nothing "
                f"was replaced. If the publishers changed it, delete {file.with_suffix('.json').name} and the old files"
            )


def _stream(url: str, file: Path) -> None:
    """Download bytes. A connection that ends before Content-Length raises (urllib3 counts)."""
    # pooch sets the total; 1 until then, because it asks for the truth of the bar and tqdm has none without a total
    with bar(1, url.rpartition("/")[2], "B") as progress:
        fetch = pooch.HTTPDownloader(progressbar=progress, chunk_size=1 << 20, timeout=30)  # pyright: ignore[reportArgumentType]
        fetch(url, str(file), None)


def _check_readable(file: Path, url: str) -> None:
    try:
        with np.load(file) as archive:
            missing = REQUIRED_KEYS - set(archive.files)
    except Exception as error:  # numpy and zipfile raise many kinds for bytes that are not an archive
        raise OSError(f"{url} is not a whole .npz file ({error})") from error
    if missing:
        raise OSError(f"{url} is not an OGBench dataset: no {', '.join(sorted(missing))}")
