"""Leases: of several processes or threads that want the same thing, one makes it; the others wait and find it made.

A lease is a lock on the file `<what is made>.lock`, which says who holds it. The system drops the lock when its holder
dies, however it dies, so the next one takes over at once; what a killed holder left half-written is then removed.

It holds between processes and threads of one machine (`flock`: each opening of the file has a lock of its own). On NFS,
Linux makes it a lock of the server: it also holds between machines, unless the folder is mounted with `nolock` or
`local_lock`; but no longer between threads of a process, and that of a machine that went down stays until the server
gives it up. Where there is no `flock` (Windows), nothing is locked.
"""

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from evor_eqx.system.files import remove_leftovers
from evor_eqx.system.progress import bar

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PAUSE = 0.2  # seconds between two looks at a lease that another holds


def make_once(path: Path, is_made: Callable[[], bool], make: Callable[[], object]) -> None:
    """Make `path`, a file or a folder, unless it `is_made`, which is asked again once the lease is ours."""
    if not is_made():
        with lease(path):
            if not is_made():
                make()


@contextlib.contextmanager
def lease(path: Path) -> Iterator[None]:
    """The right to make `path`, a file or a folder: waits, and says for whom, while another has it.

    Whoever waits can be stopped as in any long work: by a signal, or by who listens to the progress. A thread must not
    ask for what it holds.
    """
    if fcntl is None:
        yield
        return
    lock = path.with_name(f"{path.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(lock, f"{path.parent.name}/{path.name}")
    try:
        os.truncate(file, 0)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(file, f"process {os.getpid()} on {platform.node()} since {now}".encode())
        remove_leftovers(path)
        yield
    finally:
        lock.unlink(missing_ok=True)  # while it is ours; whoever waits looks for the name again
        os.close(file)


def _locked(lock: Path, name: str) -> int:
    """The lock's file, opened and locked."""
    if (file := _try(lock)) is not None:
        return file
    with bar(None, name, "s") as waiting:
        while (file := _try(lock)) is None:
            waiting.set_description(f"{name} is being made by {_holder(lock)}, waiting")
            time.sleep(_PAUSE)
            waiting.update(_PAUSE)
    return file


def _try(lock: Path) -> int | None:
    """The lock's file, if it could be locked and still goes by that name; else None."""
    file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[union-attr]
        if os.path.samestat(os.fstat(file), lock.stat()):
            return file
    os.close(file)
    return None


def _holder(lock: Path) -> str:
    try:
        return lock.read_text() or "another process"
    except FileNotFoundError:
        return "another process"
