"""Files that are either whole or absent: written under a temporary name, then renamed."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evor_eqx.errors import UserError
from evor_eqx.system.flock import try_lock

_TEMPORARY = ".writing-"  # what temporary names begin with
_CHECKED_ROWS = 1 << 16  # rows per step, so that the check of a large array needs little memory


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file in the folder of `path`; it replaces `path` on success and is removed on any error.

    The temporary name has the same suffix, because numpy and matplotlib choose their format by it. The bytes are on the
    disk before the file is renamed, so the caller need not flush them. What a killed writer left of `path` is removed.
    A symbolic link stays one: what it leads to is replaced.
    """
    path = path.resolve()
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
        try_lock(handle)
        if temporary.exists():  # else another process took it for a leftover before it was locked
            return temporary, handle
        os.close(handle)


def check_writable(path: Path, what: str) -> None:
    """Raise UserError unless a file can be written to this path; `what` is what it is called in errors."""
    path = path.expanduser().resolve()
    if path.is_dir():
        raise UserError(f"{what}: got a folder, {path}, expected a file; add its name")
    if path.exists() and not path.is_file():
        raise UserError(f"{what}: got {path}, which is a pipe or a device, expected a file; choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, handle = _temporary(path)
        temporary.unlink()
        os.close(handle)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise UserError(
            f"{what}: got {path}, where nothing can be written ({error.strerror}); choose another, or ask its owner"
        ) from None


def check_folder(folder: Path, what: str) -> None:
    """Raise UserError unless a folder is there, or can be made; `what` is what it is called in errors."""
    folder = folder.expanduser()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{what}: got a file, {folder}, expected a folder; choose another")
    check_writable((folder if folder.is_dir() else folder.parent) / folder.name, what)


def check_name(name: object, what: str, example: str) -> None:
    """Raise UserError for a name that cannot be a folder's; `what` has it, and `example` is one that can."""
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name)):
        raise UserError(
            f"name of the {what}: got {name!r}, expected up to 64 letters, digits, dots, dashes or underscores, such "
            f"as {example!r}, because it names folders"
        )


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files that killed processes left of a file, or directly in a folder.

    Those that a process is writing to are locked, and stay. Where a disk has no locks, all stay.
    """
    names = f"{glob.escape(path.stem)}.????????.*"  # eight random characters, then the suffix
    for leftover in path.glob(f"{_TEMPORARY}*") if path.is_dir() else path.parent.glob(_TEMPORARY + names):
        with contextlib.suppress(OSError):  # gone, or another user's
            handle = os.open(leftover, os.O_RDONLY)
            try:
                if try_lock(handle):
                    leftover.unlink()
            finally:
                os.close(handle)


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
