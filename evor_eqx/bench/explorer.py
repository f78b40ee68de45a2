"""How fast the explorer answers in the kernel: from a slider's move or a new state to the bytes of the pictures."""

import itertools
import time
from typing import Any

import numpy as np

from evor_eqx.system.progress import bar
from evor_eqx.widgets.explorer.explorer import Explorer


def run_explorer(num_moves: int = 200, num_states: int = 40) -> list[dict[str, Any]]:
    """Time the explorer on the first agent of the catalogue.

    **Arguments:**

    - `num_moves`: moves of sliders, each in turn.
    - `num_states`: changes of the state.

    **Returns:**

    Rows for opening, a slider's move and a new state: what, p50_ms and p95_ms.
    """
    started = time.perf_counter()
    controls = Explorer().controls
    opened = time.perf_counter() - started
    taus, counts = itertools.cycle(np.geomspace(0.05, 50, 37).tolist()), itertools.cycle((4, 64, 16))
    moves = itertools.cycle([("tau_r", taus), ("tau_q", taus), ("num_candidates", counts), ("num_returns", counts)])
    seconds: dict[str, list[float]] = {"a slider's move": [], "a new state": []}
    with bar(num_moves + num_states, "explorer", "move") as progress:
        for name, values in itertools.islice(moves, num_moves):
            seconds["a slider's move"].append(_set(controls.sliders[name], next(values)))
            progress.update(1)
        for index in range(1, num_states + 1):
            seconds["a new state"].append(_set(controls.state, index))
            progress.update(1)
    rows = [{"what": "opening", "p50_ms": 1000 * opened, "p95_ms": 1000 * opened}]
    return rows + [
        {"what": what, **{f"p{q}_ms": 1000 * np.percentile(times, q) for q in (50, 95)}}
        for what, times in seconds.items()
    ]


def _set(control: Any, value: Any) -> float:
    started = time.perf_counter()
    control.value = value
    return time.perf_counter() - started
