"""Files that are either whole or absent: written beside their place, then renamed; records carry a checksum."""

import contextlib
import glob
import hashlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evor_eqx.errors import UserError

_TEMPORARY = ".writing-"  # what temporary names begin with
_CHECKED_ROWS = 1 << 16  # at once, so that a check of a large array needs little memory


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in `path`'s folder; on success it replaces `path`, on any error it is removed.

    The temporary name keeps the suffix, because numpy and matplotlib choose their format by it. Whoever writes to
    it need not flush: the data are on disk before the rename.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f"{_TEMPORARY}{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Remove what a kill left of `replacing`: the temporary files of a file, or all that lie directly in a folder.

    Only for who holds the lease of `path`: others may be writing.
    """
    names = f"{glob.escape(path.stem)}.????????.*"  # mkstemp's eight characters, then the suffix
    for leftover in path.glob(f"{_TEMPORARY}*") if path.is_dir() else path.parent.glob(_TEMPORARY + names):
        leftover.unlink(missing_ok=True)


def reserve(path: Path) -> None:
    """Give a sparse file all its bytes on the disk now: writing to its memory map on a full one would be a crash.

    Raises OSError if there is no room; the file is removed then.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    try:
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError:
        path.unlink()
        raise


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` with its checksum as indented JSON, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(sealed(value), indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote; raises UserError with the file's name if it is absent or damaged."""
    try:
        return unsealed(json.loads(path.read_text()))
    except FileNotFoundError:
        raise UserError(
            f"no file {path}: expected a JSON file; make it again with the command that writes it"
        ) from None
    except ValueError as error:
        raise UserError(f"damaged file {path}: expected JSON ({error}); delete it and make it again") from None


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Append a row with its checksum to a JSON-lines file."""
    with open(path, "a") as file:
        file.write(json.dumps(sealed(row)) + "\n")


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a JSON-lines file, each row with its checksum, atomically."""
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(sealed(row)) + "\n" for row in rows))


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a JSON-lines file, none if it is absent; a last line cut off by a kill is left out.

    Raises UserError that names the file and the line if it is damaged.
    """
    if not path.exists():
        return
    *lines, rest = path.read_bytes().split(b"\n")
    if _is_row(rest[:-1]):  # whole, but for its line end
        lines.append(rest)
    for number, line in enumerate(lines, start=1):
        try:
            yield unsealed(json.loads(line))
        except ValueError as error:
            raise UserError(
                f"damaged line {number} of {path} ({error}): delete that line, or the file to make it again"
            ) from None


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The record with a checksum of all the rest."""
    return {**value, "checksum": short_hash(value)}


def unsealed(value: Any) -> dict[str, Any]:
    """The record without its checksum, which must be right; earlier versions wrote none. Raises ValueError if not."""
    if not isinstance(value, dict):
        raise ValueError(f"got {type(value).__name__}, expected a record")
    rest = {name: part for name, part in value.items() if name != "checksum"}
    if "checksum" in value and value["checksum"] != short_hash(rest):
        raise ValueError("it does not match its checksum")
    return rest


def _is_row(line: bytes) -> bool:
    try:
        return bool(unsealed(json.loads(line)))
    except ValueError:
        return False


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def crc32(rows: np.ndarray, before: int = 0) -> int:
    """CRC-32 of an array's rows, which may be many, behind those that have the checksum `before`."""
    for start in range(0, len(rows), _CHECKED_ROWS):
        before = zlib.crc32(np.ascontiguousarray(rows[start : start + _CHECKED_ROWS]).data, before)
    return before


def short_hash(value: Any) -> str:
    """Eight hexadecimal characters that identify a JSON-serialisable value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
