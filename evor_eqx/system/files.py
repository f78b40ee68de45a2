"""Files that are either whole or absent: written under a temporary name, then renamed. Records carry a checksum."""

import contextlib
import glob
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evor_eqx.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = ".writing-"  # what temporary names begin with
_CHECKED_ROWS = 1 << 16  # rows per step, so that the check of a large array needs little memory


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file in the folder of `path`; it replaces `path` on success and is removed on any error.

    The temporary name has the same suffix, because numpy and matplotlib choose their format by it. The bytes are on the
    disk before the file is renamed, so the caller need not flush them. What a killed writer left of `path` is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    temporary, handle = _temporary(path)
    try:
        yield temporary
        os.fsync(handle)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def _temporary(path: Path) -> tuple[Path, int]:
    """A new temporary file for `path`, and its open handle, which holds a lock: so others see that it is written to."""
    while True:
        temporary = path.with_name(f"{_TEMPORARY}{path.stem}.{secrets.token_hex(4)}{path.suffix}")
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # the system applies the umask
        _try_lock(handle)
        if temporary.exists():  # else another process took it for a leftover before it was locked
            return temporary, handle
        os.close(handle)


def check_writable(path: Path, what: str) -> None:
    """Raise UserError unless a file can be written to this path; `what` is what it is called in errors."""
    path = path.expanduser()
    if path.is_dir():
        raise UserError(f"{what}: got a folder, {path}, expected a file; add its name")
    try:
        with replacing(path.with_name(f"{path.name}.test")):
            pass
    except OSError as error:
        raise UserError(
            f"{what}: got {path}, where nothing can be written ({error.strerror}); choose another"
        ) from None
    path.with_name(f"{path.name}.test").unlink()


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed processes left of a file, or directly in a folder.

    Those that a process is writing to are locked, and stay. Where a disk has no locks, all stay.
    """
    names = f"{glob.escape(path.stem)}.????????.*"  # eight random characters, then the suffix
    for leftover in path.glob(f"{_TEMPORARY}*") if path.is_dir() else path.parent.glob(_TEMPORARY + names):
        with contextlib.suppress(OSError):  # gone, or another user's
            handle = os.open(leftover, os.O_RDONLY)
            try:
                if _try_lock(handle):
                    leftover.unlink()
            finally:
                os.close(handle)


def _try_lock(handle: int) -> bool:
    """Lock an open file; False if another process has locked it, or if there are no locks on this disk."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def reserve(path: Path) -> None:
    """Allocate all bytes of a sparse file, because writing to its memory map on a full disk would crash the process.

    **Raises:** OSError if there is not enough space. The file is removed then.
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
    """Write `value` with its checksum as indented JSON; the file is replaced as a whole."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(sealed(value), indent=1, sort_keys=True) + "\n")


def read_json(path: Path, optional_checksum: bool = False) -> dict[str, Any]:
    """Read a file that `write_json` wrote.

    **Arguments:**

    - `path`: the file.
    - `optional_checksum`: whether a record without a checksum is taken as it is.

    **Raises:** UserError that names the file if it is absent or damaged.
    """
    try:
        value = json.loads(path.read_text())
        if optional_checksum and isinstance(value, dict) and "checksum" not in value:
            return value
        return unsealed(value)
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
    """Write a JSON-lines file, each row with its checksum; the file is replaced as a whole."""
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(sealed(row)) + "\n" for row in rows))


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Read the rows of a JSON-lines file; none if it is absent.

    A last line that was cut off by a kill is left out.

    **Raises:** UserError that names the file and the line if another line is damaged.
    """
    if not path.exists():
        return
    *lines, rest = path.read_bytes().split(b"\n")
    if _is_row(rest[:-1]):  # not cut off: a whole row with a damaged line end
        lines.append(rest)
    for number, line in enumerate(lines, start=1):
        try:
            yield unsealed(json.loads(line))
        except ValueError as error:
            raise UserError(
                f"damaged line {number} of {path} ({error}): delete that line, or the file to make it again"
            ) from None


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """Add a checksum of all the rest to a record."""
    return {**value, "checksum": short_hash(value)}


def unsealed(value: Any) -> dict[str, Any]:
    """Check a record's checksum and take it off.

    **Raises:** ValueError if this is no record, or if its checksum is missing or wrong.
    """
    if not isinstance(value, dict):
        raise ValueError(f"got {type(value).__name__}, expected a record")
    rest = {name: part for name, part in value.items() if name != "checksum"}
    if value.get("checksum") != short_hash(rest):
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
    """CRC-32 of an array's rows, which may be many.

    **Arguments:**

    - `rows`: an array whose first axis is rows.
    - `before`: the checksum of the rows before these; 0 if these are the first.
    """
    for start in range(0, len(rows), _CHECKED_ROWS):
        before = zlib.crc32(np.ascontiguousarray(rows[start : start + _CHECKED_ROWS]).data, before)
    return before


def short_hash(value: Any) -> str:
    """Eight hexadecimal characters that identify a JSON-serialisable value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
