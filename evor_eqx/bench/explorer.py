"""How fast the explorer answers in the kernel: from a new state to its arrays. The page computes everything else."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from evor_eqx.system.progress import bar
from evor_eqx.widgets.explorer.explorer import Explorer


def run_explorer(num_states: int = 40) -> list[dict[str, Any]]:
    """Time the explorer on the first agent of the catalogue.

    **Arguments:**

    - `num_states`: changes of the state.

    **Returns:**

    Rows for opening, a new state, and the track from there: what, p50_ms and p95_ms.
    """
    started = time.perf_counter()
    explorer = Explorer()
    rows = [_row("opening", [time.perf_counter() - started])]
    seconds: dict[str, list[float]] = {"a new state": [], "the track from it": []}
    with bar(num_states, "explorer", "state") as progress:
        for _ in range(num_states):
            following = (explorer.state + 1) % (explorer.last + 1)
            seconds["a new state"].append(_timed(lambda following=following: explorer.set_trait("state", following)))
            seconds["the track from it"].append(_timed(explorer.follow))
            progress.update(1)
    return rows + [_row(what, times) for what, times in seconds.items()]


def _timed(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _row(what: str, seconds: list[float]) -> dict[str, Any]:
    return {"what": what, **{f"p{q}_ms": 1000 * np.percentile(seconds, q) for q in (50, 95)}}
