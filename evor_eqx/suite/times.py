"""How long stages took, in a file of lines, and how long others of the same kind will take."""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from evor_eqx.suite.job import Station
from evor_eqx.system.json_records import read_lines, write_lines
from evor_eqx.system.locks import lock


def timed(path: Path) -> dict[Station, float]:
    """The seconds that each finished stage took, summed over all calls, from the file of times."""
    sums: dict[Station, float] = defaultdict(float)
    finished = set()
    for row in read_lines(path):
        station = Station(*row["station"])
        sums[station] += row["seconds"]
        if row["finished"]:
            finished.add(station)
    return {station: sums[station] for station in finished}


def time_left(stations: set[Station], seconds: dict[Station, float]) -> tuple[float, int]:
    """Estimate how many seconds stages will take; also returns the number of stages without an estimate.

    The estimate is the median time of the same kind and method on the same dataset or, if there is none, on others.
    It does not know of other numbers of updates: where a recipe has more of them than another, it is too low at first.
    """
    kinds: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for station, value in seconds.items():
        kinds[station.what, station.method, station.dataset].append(value)
        kinds[station.what, station.method].append(value)
    known = [kinds.get((s.what, s.method, s.dataset)) or kinds.get((s.what, s.method)) for s in stations]
    return float(sum(np.median(values) for values in known if values)), known.count(None)


@contextlib.contextmanager
def timing(stations: Sequence[Station], path: Path) -> Iterator[None]:
    """Write down the time spent on stages, in equal shares if they are made together, and whether they finished."""
    start, finished = time.monotonic(), False
    try:
        yield
        finished = True
    finally:
        seconds = round((time.monotonic() - start) / len(stations), 2)
        rows = [{"station": station, "finished": finished, "seconds": seconds} for station in stations]
        with lock(path):
            write_lines(path, [*read_lines(path), *rows])
