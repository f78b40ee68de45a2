"""Locks between threads and between processes: one makes, the others wait; a dead holder's lock is free."""

import errno
import os
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


def test_the_lock_of_a_folder_holds_when_its_file_was_tidied_away(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    process = hold(folder, 1.5)
    (tmp_path / "run.lock").unlink()
    with lock(folder):
        assert process.poll() is not None or process.wait(1) is not None  # the holder has let it go


def test_a_lock_file_of_another_user_can_be_held(tmp_path, monkeypatch):
    """It may be read and not written, as left by another user whose process was killed."""
    file = tmp_path / "thing.lock"
    file.write_text("process 1 of another user")
    opened = os.open

    def refuse(path, flags, *mode):
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return opened(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    with lock(tmp_path / "thing"):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_named_once_and_used(number, tmp_path, monkeypatch, capsys):
    def flock(handle, operation):
        raise OSError(number, "not here")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(locks, "_said", set())
    for _ in range(2):
        with lock(tmp_path / "thing"):
            pass
    said = capsys.readouterr().err
    assert said.count("this disk has no locks") == 1 and str(tmp_path) in said and "option flock" in said


def test_who_waits_long_without_a_bar_says_for_whom(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "_PATIENCE", 0.3)
    monkeypatch.setattr(locks, "_said", set())
    monkeypatch.setenv("CI", "1")
    process = hold(tmp_path / "thing", 1.5)
    with lock(tmp_path / "thing"):
        pass
    said = capsys.readouterr().err
    assert f"is being made by process {process.pid}" in said and said.count("waiting") == 1
    process.wait()


def test_a_home_that_must_not_be_written_to_is_read_without_a_lock(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(os, "open", refuse)
    with lock(tmp_path / "thing"):
        assert not (tmp_path / "thing.lock").exists()
