"""A training in words."""

import numpy as np

from evor_eqx.system import progress


def describe(columns: dict[str, np.ndarray], num_updates: int, updates_per_second: float | None) -> str:
    """Put a run's metrics into words: how far it is, how fast, how long it still takes, how good it is.

    **Arguments:**

    - `columns`: the columns of `Run.metrics`.
    - `num_updates`: updates of the whole training.
    - `updates_per_second`: its speed; None if it is not known.
    """
    if not columns:
        return f"0 of {num_updates:,} updates."
    done = int(columns["step"][-1])
    words = [f"{done:,} of {num_updates:,} updates"]
    if updates_per_second and done < num_updates:
        left = (num_updates - done) / updates_per_second
        words += [f"{updates_per_second:,.0f} updates/s", f"{progress.duration(left)} left"]
    for name, label in (("loss", "loss"), ("held_out_w1", "W₁"), ("held_out_crps", "CRPS")):
        if name in columns:
            words.append(f"{label} {columns[name][-1]:.3g}")
    if "held_out_unknown" in columns and columns["held_out_unknown"][-1] > 0:
        words.append(f"both known up to {columns['held_out_unknown'][-1]:.2g}, because returns were cut off")
    return f"{', '.join(words)}."
