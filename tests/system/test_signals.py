"""Signals that wait for the end of a block, in processes of their own: what came, when, and with which exit code."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from evor_eqx.system.signals import Deadline, Stopped, TimeUp, held_signals, sigterm_as_interrupt

SCRIPT = """
import hashlib, signal
from evor_eqx.system.signals import held_signals
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
with held_signals() as held:
    print("begun", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**8)  # in compiled code, as of a block, Python hears of no signal
print("never", held.signum)
"""


@contextlib.contextmanager
def both_raise():
    """Both signals raise `Stopped`, as SIGTERM does in the command line."""
    with sigterm_as_interrupt():
        handler = signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, handler)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "second", "code"), [(signal.SIGINT, signal.SIGTERM, 143), (signal.SIGTERM, signal.SIGINT, 130)]
)
def test_a_second_signal_ends_the_process_at_once(first, second, code):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begun\n"
    process.send_signal(first)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(second)
    assert process.wait(5) == code and process.stdout.read() == ""


@pytest.mark.slow
def test_a_signal_that_comes_twice_at_once_is_one():
    """As `timeout` sends it: to its command, then to the group that the command is in."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"begun\n"
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_one_that_nobody_looked_at_is_obeyed_on_leaving(number):
    handler = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped, both_raise(), held_signals() as held:
        os.kill(os.getpid(), number)
        while held.signum is None:
            pass
    assert held.signum == stopped.value.signum == number
    assert signal.getsignal(number) is handler


def test_a_stop_between_two_blocks_is_raised_once():
    with pytest.raises(Stopped, match="saved"), both_raise(), held_signals() as held:
        os.kill(os.getpid(), signal.SIGTERM)
        while held.signum is None:
            pass
        raise Stopped("saved", held.signum)


def test_ignored_signals_stay_ignored_and_other_threads_hold_none():
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_signals() as held:
            os.kill(os.getpid(), signal.SIGINT)
        assert held.signum is None and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
    seen = []

    def work():
        with held_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_a_deadline_lets_everything_pass_until_its_minutes_are_over(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    deadline = Deadline(2)
    Deadline(None).check()
    for now[0] in (1000.0, 1119.0):
        deadline.check("what a listener is told")
    now[0] = 1120.0
    with pytest.raises(TimeUp):
        deadline.check()
    assert issubclass(TimeUp, Stopped)
