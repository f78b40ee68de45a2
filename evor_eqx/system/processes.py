"""Processes for simulation: one thread each. They ignore Ctrl-C and end when the main process ends.

OpenBLAS, which numpy and SciPy bring along, chooses its kernels by the processor, and each kernel rounds in its own
way. All these processes use the same kernel, so a seed gives the same data on every x86-64 machine with AVX2 (any of
the last ten years).
"""

import contextlib
import math
import multiprocessing
import multiprocessing.connection
import multiprocessing.util
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import types
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from evor_eqx.system.flock import try_lock

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
_CPU_INFO = Path("/proc/cpuinfo")
_MARK = "evor.lock"  # in multiprocessing's folder for sockets
_MAPS = Path("/proc/self/maps")
_SEMAPHORE = r"/dev/shm/sem\.mp-\w+"
_exchange, _num_inside, _main = threading.Lock(), 0, sys.modules["__main__"]  # see `blank_main`
_claimed: list[int] = []  # open files whose locks say that this process lives
_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of work per microseconds, or max


def num_cores() -> int:
    """Cores that this process may use: by affinity, by a container's quota, and by what Slurm gave the task."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, task = cpu_quota(), os.environ.get("SLURM_CPUS_PER_TASK", "")
    limits = (
        [found] + ([math.ceil(quota)] if quota else []) + ([int(task)] if task.isascii() and task.isdigit() else [])
    )
    return max(1, min(limits))


def cpu_quota() -> float | None:
    """The cores that a container's quota allows, which may be a fraction; None without a quota."""
    if not _QUOTA.is_file():
        return None
    share, period = _QUOTA.read_text().split()
    return None if share == "max" else int(share) / int(period)


@contextlib.contextmanager
def workers(number: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of `number` new processes. They are not forked, because a fork would copy the threads of JAX.

    On leaving, also by an error or Ctrl-C, running jobs are finished and the others are dropped.
    """
    pool = _Pool(number, mp_context=multiprocessing.get_context("spawn"), initializer=_start)
    try:
        claim_temporary_folder()
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class _Pool(ProcessPoolExecutor):
    """Starts its processes, which it does when jobs come, without the main script."""

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Add a job."""
        with blank_main():
            return super().submit(*args, **kwargs)


def _openblas_kernel() -> dict[str, str]:
    """The variable that chooses OpenBLAS's kernel, where Linux says that the processor can run it.

    OpenBLAS does not check that itself. Elsewhere (macOS, ARM) nothing is set.
    """
    flags = _CPU_INFO.read_text().split() if _CPU_INFO.is_file() else []
    return {"OPENBLAS_CORETYPE": "HASWELL"} if {"avx2", "fma"} <= set(flags) else {}


def claim_temporary_folder() -> None:
    """Mark the folder of this process's sockets as in use, until it ends in whatever way, and note its semaphores.

    A killed process cannot remove them; the next command does (`remove_abandoned_folders`).
    """
    mark = Path(multiprocessing.util.get_temp_dir()) / _MARK
    with contextlib.suppress(OSError):  # it was removed with other temporary files
        if not mark.exists():
            handle = os.open(mark, os.O_CREAT | os.O_RDWR, 0o600)
            try_lock(handle)
            _claimed.append(handle)
        if _MAPS.is_file():
            mark.write_text("\n".join(sorted(set(re.findall(_SEMAPHORE, _MAPS.read_text())))))


def use_claimed_folder() -> None:
    """In a started process: put temporary files into the folder that the process that started it has claimed."""
    if multiprocessing.parent_process() is not None and os.path.isdir(multiprocessing.util.get_temp_dir()):
        tempfile.tempdir = multiprocessing.util.get_temp_dir()


def remove_abandoned_folders() -> None:
    """Remove the folders that killed processes of this package left among the temporary files."""
    for mark in Path(tempfile.gettempdir()).glob(f"pymp-*/{_MARK}"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            handle = os.open(mark, os.O_RDWR)
            try:
                if os.fstat(handle).st_uid == os.getuid() and try_lock(handle):  # nobody else says what is removed
                    for semaphore in re.findall(_SEMAPHORE, mark.read_text()):
                        Path(semaphore).unlink(missing_ok=True)
                    shutil.rmtree(mark.parent, ignore_errors=True)
            finally:
                os.close(handle)


def how_it_ended(processes: Sequence[BaseProcess]) -> str:
    """How the first of some processes that ended did so: by which signal, or with which code."""
    for process in processes:
        process.join(timeout=1)  # the end of its pipe is seen before the end of the process
    codes = [process.exitcode for process in processes if process.exitcode is not None]
    if not codes:
        return "as it began"
    if codes[0] == -signal.SIGKILL:
        return "killed, perhaps because memory ran out"
    return f"signal {-codes[0]}" if codes[0] < 0 else f"exit code {codes[0]}"


def _start() -> None:
    """Prepare a new process: one thread, one OpenBLAS kernel, deaf to Ctrl-C, gone when the main process is killed.

    OpenBLAS reads the variables when numpy is imported, so this module must not import numpy.
    """
    os.environ.update(_ONE_THREAD | _openblas_kernel())
    use_claimed_folder()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def blank_main() -> Iterator[None]:
    """Keep new processes from running the main script again: they do not need it, and it may have no guard.

    multiprocessing reads `sys.modules`, and gymnasium takes no context of one's own, so the module has to be exchanged.
    The first thread inside does that and the last one puts it back. Other code sees it: keep the block short.
    """
    global _main, _num_inside
    with _exchange:
        if _num_inside == 0:
            _main, sys.modules["__main__"] = sys.modules["__main__"], types.ModuleType("__main__")
        _num_inside += 1
    try:
        yield
    finally:
        with _exchange:
            _num_inside -= 1
            if _num_inside == 0:
                sys.modules["__main__"] = _main
