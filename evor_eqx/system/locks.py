"""Locks between processes and threads: one makes a file or a folder, the others wait and then find it made.

The lock of `<path>` is the file `<path>.lock`, which says who holds it. The system releases a lock when its holder
dies, so the next process takes over at once. It then removes what the killed holder left half-written.

Locks work between the processes and threads of one machine (`flock`). On NFS, Linux turns `flock` into a lock of the
server. Such a lock also works between machines, unless the folder is mounted with `nolock` or `local_lock`. It does not
work between threads of one process, and the lock of a machine that went down stays until the server gives it up.
Windows has no `flock`: there, nothing is locked.
"""

import contextlib
import errno
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from evor_eqx.system.files import remove_leftovers
from evor_eqx.system.progress import bar, is_quiet

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PAUSE = 0.2  # seconds between two tries to get a lock that another holds
_PATIENCE = 5.0  # seconds of waiting before a line says so where no progress bar does
# A folder of somebody else's, or on a read-only disk: what is whole there can be read; writing says what is wrong.
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_said: set[str] = set()


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, a file or a folder; wait while another holds it, and say who does.

    Waiting can be stopped by a signal, or by the listener of the progress bar. A thread must not ask for a lock that it
    already holds.
    """
    if fcntl is None:
        yield
        return
    file, name = path.with_name(f"{path.name}.lock"), f"{path.parent.name}/{path.name}"
    with contextlib.ExitStack() as held:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            handle = _locked(file, name)
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                _say_once(
                    f"{file.parent}: this disk has no locks ({error.strerror}); start one command at a time there, or "
                    "mount it with the option flock"
                )
            elif error.errno not in _UNWRITABLE:
                raise
        else:
            held.callback(os.close, handle)
            held.callback(_remove, file)  # before the lock is released; who waits opens the file anew at each try
            with contextlib.suppress(OSError):  # another user's file
                os.truncate(handle, 0)
                now = time.strftime("%Y-%m-%d %H:%M:%S")
                os.write(handle, f"process {os.getpid()} on {platform.node()} since {now}".encode())
            if path.is_dir():  # the folder itself too: somebody may have removed the lock's file while it was held
                held.callback(os.close, _locked(path, name, file))
            remove_leftovers(path)
        yield


def _locked(file: Path, name: str, told: Path | None = None) -> int:
    """Open and lock a file or a folder; wait while another holds it. `told` is the file that says who does."""
    if (handle := _try(file)) is not None:
        return handle
    with bar(None, name, "s") as waiting:
        begun = time.monotonic()
        while (handle := _try(file)) is None:
            said = f"{name} is being made by {_holder(told or file)}, waiting"
            waiting.set_description(said)
            if is_quiet() and time.monotonic() - begun > _PATIENCE:
                _say_once(said)
            time.sleep(_PAUSE)
            waiting.update(_PAUSE)
    return handle


def _try(file: Path) -> int | None:
    """Open and lock a file or a folder; None if another holds the lock, or has removed the file meanwhile."""
    handle = _opened(file)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[union-attr]
        if os.path.samestat(os.fstat(handle), file.stat()):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _opened(file: Path) -> int:
    if file.is_dir():
        return os.open(file, os.O_RDONLY)
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if not file.exists():
            raise
        return os.open(file, os.O_RDONLY)  # another user's, which can be locked all the same


def _remove(file: Path) -> None:
    with contextlib.suppress(OSError):  # gone, or another user's
        file.unlink()


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        print(f"evor: {text}", file=sys.stderr, flush=True)


def _holder(file: Path) -> str:
    try:
        return file.read_text() or "another process"
    except FileNotFoundError:
        return "another process"
