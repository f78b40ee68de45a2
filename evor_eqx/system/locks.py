"""Locks between processes and threads: one makes a file or a folder, the others wait and then find it made.

The lock of `<path>` is the file `<path>.lock`, which says who holds it. The system releases a lock when its holder
dies, so the next process takes over at once. It then removes what the killed holder left half-written.

Locks work between the processes and threads of one machine (`flock`). On NFS, Linux turns `flock` into a lock of the
server. Such a lock also works between machines, unless the folder is mounted with `nolock` or `local_lock`. It does not
work between threads of one process, and the lock of a machine that went down stays until the server gives it up.
Windows has no `flock`: there, nothing is locked.
"""

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from evor_eqx.system.files import remove_leftovers
from evor_eqx.system.progress import bar

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PAUSE = 0.2  # seconds between two tries to get a lock that another holds


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, a file or a folder; wait while another holds it, and say who does.

    Waiting can be stopped by a signal, or by the listener of the progress bar. A thread must not ask for a lock that it
    already holds.
    """
    if fcntl is None:
        yield
        return
    file = path.with_name(f"{path.name}.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = _locked(file, f"{path.parent.name}/{path.name}")
    try:
        os.truncate(handle, 0)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(handle, f"process {os.getpid()} on {platform.node()} since {now}".encode())
        remove_leftovers(path)
        yield
    finally:
        file.unlink(missing_ok=True)  # before the lock is released; who waits opens the file anew at each try
        os.close(handle)


def _locked(file: Path, name: str) -> int:
    """Open and lock the file; wait while another holds it."""
    if (handle := _try(file)) is not None:
        return handle
    with bar(None, name, "s") as waiting:
        while (handle := _try(file)) is None:
            waiting.set_description(f"{name} is being made by {_holder(file)}, waiting")
            time.sleep(_PAUSE)
            waiting.update(_PAUSE)
    return handle


def _try(file: Path) -> int | None:
    """Open and lock the file; None if another holds the lock, or has removed the file meanwhile."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[union-attr]
        if os.path.samestat(os.fstat(handle), file.stat()):
            return handle
    os.close(handle)
    return None


def _holder(file: Path) -> str:
    try:
        return file.read_text() or "another process"
    except FileNotFoundError:
        return "another process"
