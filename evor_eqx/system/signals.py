"""Stopping a training without losing an update: how it is asked for, and signals that wait until it is possible.

A fused block gives the memory of its state away, so there is nothing to save while one runs. SIGINT (Ctrl-C) and
SIGTERM that arrive during a block are noted, and obeyed at its end; a second one ends the process at once.
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
    """Raised by whoever watches a training, to stop it between two blocks: `train.fit` saves and lets it through.

    It is a KeyboardInterrupt that came at the right moment; whoever handles those handles this. `signum` is the signal
    that asked for it.
    """

    def __init__(self, message: str = "", signum: int = signal.SIGINT):
        super().__init__(message)
        self.signum = signum


class Deadline:
    """A number of minutes from now, after which `check` raises `TimeUp`; None: there is no end."""

    def __init__(self, minutes: int | float | None):
        self._end = math.inf if minutes is None else time.monotonic() + 60 * minutes

    def check(self, *_: object) -> None:
        """Raise `TimeUp` if the time is up. Takes what anything that listens or watches is told."""
        if time.monotonic() >= self._end:
            raise TimeUp


class TimeUp(Stopped):
    """Raised by a `Deadline`."""


class Held:
    """The signal that waits to be obeyed; None as long as none has come."""

    signum: int | None = None


@contextlib.contextmanager
def held_signals() -> Iterator[Held]:
    """Note SIGINT and SIGTERM instead of obeying them; the caller looks at `signum` and raises `Stopped` in time.

    One that came too late for that is obeyed on leaving. Outside the main thread, to which signals belong, nothing is
    held; a signal that is ignored (a shell's background job) stays ignored. A thread listens, because Python itself
    hears of a signal only when the compiled block returns.
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
    """Let SIGTERM raise `Stopped`, as SIGINT raises KeyboardInterrupt, so that what is open is closed and removed."""
    if threading.current_thread() is not threading.main_thread() or not _is_obeyed(signal.SIGTERM):
        yield
        return
    handler = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _listen(ear: socket.socket, held: Held) -> None:
    """Note the first signal. A second one ends the process, except in a notebook: much else may live in its kernel.

    The same one within a second is the first one again: `timeout` sends it to its command and then to the whole group.
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
    """A handler, so that Python writes the signal to the listener."""


def _stop(number, frame) -> None:
    raise Stopped(signum=number)
