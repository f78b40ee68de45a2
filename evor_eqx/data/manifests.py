"""What is noted beside the two files of a dataset, `NAME.npz` and `NAME-val.npz`: a manifest, `NAME.json`."""

from pathlib import Path
from typing import Any

from evor_eqx.errors import UserError
from evor_eqx.system.files import sha256
from evor_eqx.system.json_records import read_json, write_json


def val_path(path: Path) -> Path:
    """The validation file beside a training file, as OGBench names it."""
    return path.with_name(f"{path.stem}-val.npz")


def read_manifest(path: Path) -> dict[str, Any]:
    """What is noted beside a training file. Raises UserError if it is missing, damaged, or of other data."""
    return read_json(path.with_suffix(".json"), f"manifest of {path.stem}")


def write_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Note facts of a pair of files beside its training file."""
    write_json(path.with_suffix(".json"), manifest, f"manifest of {path.stem}")


def sizes_and_hashes(*files: Path) -> dict[str, dict[str, int | str]]:
    """Size and SHA-256 of files by name, for a manifest."""
    return {file.name: {"bytes": file.stat().st_size, "sha256": sha256(file)} for file in files}


def check_size(file: Path, details: dict[str, Any]) -> None:
    """Compare a file's size with the details of its source. Raises UserError that names the file if they differ."""
    expected = details["files"].get(file.name, {}).get("bytes")
    got = file.stat().st_size if file.is_file() else "no file"
    if got != expected:
        raise UserError(f"damaged file {file}: got {got} bytes, expected {expected}; delete it and make it again")
