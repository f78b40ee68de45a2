"""Stop a training without losing an update: exceptions that ask for it, and signals that wait for the right moment.

While a fused block of updates runs, its state cannot be saved. So SIGINT (Ctrl-C) and SIGTERM that arrive during a
block take effect at its end. A second signal ends the process at once.
"""

import contextlib
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator

from evor_eqx.system.progress import note

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Raised by a watcher of a training to stop it between two blocks. The training is saved before it ends.

    It is a KeyboardInterrupt, so code that handles those handles this.

    **Arguments:**

    - `message`: why.
    - `signum`: the signal that asked for it.
    """

    def __init__(self, message: str = "", signum: int = signal.SIGINT):
        super().__init__(message)
        self.signum = signum


class Deadline:
    """A number of minutes from now, after which `check` raises `TimeUp`; None: never."""

    def __init__(self, minutes: int | float | None):
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def check(self, *_: object) -> None:
        """Raise `TimeUp` if the time is up. Takes any arguments, so that it can be used as a listener or a watcher."""
        if time.monotonic() >= self._end:
            raise TimeUp


class TimeUp(Stopped):
    """Raised by a `Deadline`."""


class Held:
    """The signal that waits to take effect; None as long as there is none."""

    signum: int | None = None


@contextlib.contextmanager
def held_signals() -> Iterator[Held]:
    """Hold SIGINT and SIGTERM back. The caller looks at `signum` between two blocks and raises `Stopped`.

    A signal that the caller did not see takes effect on leaving. Signals belong to the main thread: elsewhere nothing
    is held. A signal that is ignored (in a shell's background job) stays ignored. Another thread listens, because
    Python itself sees a signal only when the compiled block returns.
    """
    held = Held()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)
    threading.Thread(target=_listen, args=(ear, held), daemon=True).start()
    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    handlers = {number: signal.signal(number, _nothing) for number in SIGNALS if _is_obeyed(number)}
    try:
        yield held
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        mouth.close()  # ends the listener
    if held.signum is not None:
        signal.raise_signal(held.signum)


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM raise `Stopped`, as SIGINT raises KeyboardInterrupt, so that files and processes are cleaned up."""
    if threading.current_thread() is not threading.main_thread() or not _is_obeyed(signal.SIGTERM):
        yield
        return
    handler = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _listen(ear: socket.socket, held: Held) -> None:
    """Note the first signal. A second one ends the process, except in a notebook, whose kernel holds much else.

    The same signal within a second counts as one: `timeout` sends it to its command and then to the whole group.
    """
    noted = 0.0
    with ear:
        while number := ear.recv(1):
            if number[0] not in SIGNALS:
                continue
            if held.signum is None:
                held.signum, noted = number[0], time.monotonic()
                note("stopping at the end of this block; again to stop at once and lose it")
            elif "ipykernel" not in sys.modules and (held.signum != number[0] or time.monotonic() > noted + 1):
                os._exit(128 + number[0])


def _is_obeyed(number: int) -> bool:
    return signal.getsignal(number) not in (signal.SIG_IGN, None)


def _nothing(number, frame) -> None:
    """Do nothing; with a handler, Python writes the signal to the listener's socket."""


def _stop(number, frame) -> None:
    raise Stopped(signum=number)
