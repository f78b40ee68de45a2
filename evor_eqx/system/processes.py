"""Processes for simulation: one thread each, deaf to Ctrl-C, and gone when the main process is.

OpenBLAS, which numpy and SciPy bring along, chooses its kernels by the processor, and each rounds in its own way. These
processes all use one, so that a seed gives the same data on every x86-64 machine with AVX2 (any of the last ten years).
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from numpy._core._multiarray_umath import __cpu_features__ as cpu_features

from evor_eqx.system.env_vars import environment_variables

_VARIABLES: dict[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
if cpu_features.get("AVX2") and cpu_features.get("FMA3"):  # what these kernels need; OpenBLAS does not ask
    _VARIABLES["OPENBLAS_CORETYPE"] = "HASWELL"


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def workers(number: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes that start afresh, because a fork would copy the threads of JAX.

    On leaving, also by an error or Ctrl-C, the jobs under way are finished and the others dropped.
    """
    pool = ProcessPoolExecutor(number, mp_context=multiprocessing.get_context("spawn"), initializer=_start)
    with environment_variables(_VARIABLES), blank_main():
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


def _start() -> None:
    """Leave Ctrl-C to the main process, and die with it if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def blank_main() -> Iterator[None]:
    """Keep new processes from running the main script again; they need nothing of it, and it may have no guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
