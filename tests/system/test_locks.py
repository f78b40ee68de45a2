"""Locks between threads and between processes: one makes, the others wait; a dead holder's lock is free."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from evor_eqx.system import locks, progress
from evor_eqx.system.locks import lock
from evor_eqx.system.signals import Stopped

HOLD = """
import sys, time
from pathlib import Path
from evor_eqx.system.locks import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(path, seconds):
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_threads_that_want_the_same_make_it_once(tmp_path):
    path, made = tmp_path / "new" / "thing", []

    def make():
        with lock(path):
            if not path.exists():
                made.append(threading.get_ident())
                time.sleep(0.3)
                path.write_text("")

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and sorted(path.parent.iterdir()) == [path]


def test_many_threads_are_never_inside_together(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(20):
            with lock(tmp_path / "thing"):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(locks, "_PAUSE", 0.001)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(most) == 80 and max(most) == 1


def test_who_waits_is_told_whom_for_and_can_stop(tmp_path):
    path, heard = tmp_path / "run", []
    holder = hold(path, 60)

    def hear(bar):
        heard.append(bar.description)
        if len(heard) > 3:
            raise Stopped

    with pytest.raises(Stopped), progress.listening(hear), lock(path):
        pass
    holder.kill()
    assert f"{tmp_path.name}/run is being made by process {holder.pid} on " in heard[-1] and " since 2" in heard[-1]
    holder.wait()


def test_what_another_process_makes_is_waited_for(tmp_path):
    holder = hold(tmp_path / "thing", 1.0)
    start = time.monotonic()
    with lock(tmp_path / "thing"):
        assert time.monotonic() - start > 0.5
    assert holder.wait() == 0


def test_a_killed_holders_lock_is_free_at_once_and_what_it_left_is_removed(tmp_path):
    path = tmp_path / "bank.npy"
    holder = hold(path, 60)
    left = [tmp_path / ".writing-bank.abcd1234.npy", tmp_path / ".writing-bank.0123_abc.json"]
    others = [tmp_path / ".writing-other.abcd1234.npy", tmp_path / ".writing-bank.more.abcd1234.npy", path]
    for file in left + others:
        file.write_text("")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    start = time.monotonic()
    with lock(path):
        assert time.monotonic() - start < 1.0
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_the_lock_of_a_folder_clears_the_folder(tmp_path):
    run = tmp_path / "run"
    (run / "results").mkdir(parents=True)
    (run / ".writing-checkpoint.abcd1234.eqx").write_text("")
    (run / "results" / ".writing-a.abcd1234.jsonl").write_text("")  # under the lock of that file
    with lock(run):
        pass
    assert [path.name for path in run.rglob("*")] == ["results", ".writing-a.abcd1234.jsonl"]


def test_an_error_gives_the_lock_back(tmp_path):
    with pytest.raises(RuntimeError), lock(tmp_path / "thing"):
        raise RuntimeError
    with lock(tmp_path / "thing"):
        pass
    assert not list(tmp_path.iterdir())
