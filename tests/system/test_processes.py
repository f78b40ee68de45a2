"""Worker processes: what is set for them before numpy loads, and what the main process keeps."""

import os
import sys
import threading

import pytest

from evor_eqx.system import processes


def state(*names):
    return [os.environ.get(name) for name in names], "numpy" in sys.modules


@pytest.mark.parametrize("there", [None, "NEHALEM"])
def test_a_worker_has_one_thread_and_one_kernel_before_numpy_loads_and_the_main_process_keeps_its_own(
    monkeypatch, there
):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    if there:
        monkeypatch.setenv("OPENBLAS_CORETYPE", there)
    before = dict(os.environ)
    with processes.workers(1) as pool:
        (threads, kernel), numpy_is_loaded = pool.submit(state, "OMP_NUM_THREADS", "OPENBLAS_CORETYPE").result()
        assert dict(os.environ) == before
    expected = processes._openblas_kernel().get("OPENBLAS_CORETYPE", there)
    assert (threads, kernel, numpy_is_loaded) == ("1", expected, False)


@pytest.mark.parametrize(
    ("flags", "expected"), [("fpu avx2 fma", {"OPENBLAS_CORETYPE": "HASWELL"}), ("fpu avx fma4", {}), (None, {})]
)
def test_the_kernel_is_chosen_only_where_the_processor_is_known_to_run_it(monkeypatch, tmp_path, flags, expected):
    file = tmp_path / "cpuinfo"
    if flags is not None:
        file.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(processes, "_CPU_INFO", file)
    assert processes._openblas_kernel() == expected


@pytest.mark.parametrize(
    ("quota", "task", "expected"),
    [(None, None, 8), ("max 100000", "", 8), ("150000 100000", None, 2), ("50000 100000", "4", 1), (None, "3", 3)],
)
def test_cores_follow_affinity_quota_and_what_slurm_gave(quota, task, expected, tmp_path, monkeypatch):
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota)
    monkeypatch.setattr(processes, "_QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    if task is not None:
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", task)
    assert processes.num_cores() == expected


def test_the_main_module_is_back_after_threads_that_started_processes_side_by_side():
    main, first_left = sys.modules["__main__"], threading.Event()

    def second(inside):
        with processes.blank_main():
            inside.set()
            assert first_left.wait(60)
            assert not hasattr(sys.modules["__main__"], "__file__")  # still blank: this one starts a process

    inside = threading.Event()
    with processes.blank_main():
        thread = threading.Thread(target=second, args=[inside])
        thread.start()
        assert inside.wait(60)
    first_left.set()
    thread.join()
    assert sys.modules["__main__"] is main


def test_the_main_module_stays_while_workers_work():
    main = sys.modules["__main__"]
    with processes.workers(1) as pool:
        assert sys.modules["__main__"] is main
        assert pool.submit(state, "HOME").result()
        assert sys.modules["__main__"] is main
