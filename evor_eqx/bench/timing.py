"""Timing in interleaved rounds, beside the machine's own matrix product."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from evor_eqx.system.progress import bar

PEAK_SHAPE, PEAK_TURNS = (256, 512, 512), 40  # the matrix product whose speed is called the peak


@dataclass(frozen=True)
class Case:
    """Something to time: `run()` blocks until its `units` (updates, decisions) are done."""

    name: str
    run: Callable[[], object]
    units: int
    flops_per_unit: int = 0


@dataclass(frozen=True)
class Row:
    """The measurements of a case: medians over rounds."""

    name: str
    per_second: float
    milliseconds: float  # of one unit
    gflop: float  # of one unit
    share_of_peak: float  # of the matrix product's speed in the same rounds
    first_call: float  # seconds, compilation included


def interleave(cases: list[Case], num_rounds: int) -> list[Row]:
    """Time cases in interleaved rounds; the matrix product runs before and after every case.

    **Arguments:**

    - `cases`: what to time.
    - `num_rounds`: rounds; each runs every case once.
    """
    first_calls = {case.name: seconds_of(case.run) for case in cases}
    peak = matrix_product()
    peak.run()
    seconds: dict[str, list[float]] = {case.name: [] for case in cases}
    peaks: dict[str, list[float]] = {case.name: [] for case in cases}
    with bar(num_rounds * len(cases), "updates", "case") as progress:
        for _ in range(num_rounds):
            for case in cases:
                before = seconds_of(peak.run)
                seconds[case.name].append(seconds_of(case.run) / case.units)
                peaks[case.name].append(peak.units * peak.flops_per_unit / min(before, seconds_of(peak.run)))
                progress.update(1)
    rows = []
    for case in cases:
        each, speed = np.array(seconds[case.name]), np.array(peaks[case.name])
        share = float(np.median(case.flops_per_unit / each / speed))
        median = float(np.median(each))
        gflop = case.flops_per_unit / 1e9
        rows.append(Row(case.name, 1 / median, 1000 * median, gflop, share, first_calls[case.name]))
    return rows


def matrix_product() -> Case:
    """PEAK_TURNS matrix products of PEAK_SHAPE, one after another: what this machine's matrix unit can do."""
    m, k, n = PEAK_SHAPE
    x, w = jnp.ones((m, k)), jnp.full((k, n), 1.0 / k)
    run = jax.jit(lambda x: jax.lax.fori_loop(0, PEAK_TURNS, lambda _, y: y @ w, x))
    return Case("matrix product", lambda: jax.block_until_ready(run(x)), PEAK_TURNS, 2 * m * k * n)


def peak_memory() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def seconds_of(run: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
