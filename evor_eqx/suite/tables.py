"""Tables of the results: each method's mean over an environment's tasks and over all tasks, with intervals.

A job's value is its mean success over its last checkpoints, the `reported` rows. The checkpoints are evaluated on the
same episodes, so they are not independent. An interval counts each episode once.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from evor_eqx.errors import UserError
from evor_eqx.evaluation.statistics import Interval, bootstrap_interval, iqm
from evor_eqx.suite.methods import METHODS, in_order
from evor_eqx.suite.rows import Case, Row

ALL = "all"
JobKey = tuple[str, str, int]  # task, method, seed


def summary(
    rows: Sequence[Row], statistic: Callable[..., Any] = np.mean, *, seed: int = 0
) -> dict[str, dict[str, Interval]]:
    """Success rates by method, in each environment and over `all` tasks.

    The intervals are 95 % bootstrap intervals, stratified over tasks. They resample training seeds. With one training
    seed they resample its episodes, and do not cover the variation between trainings.

    **Arguments:**

    - `rows`: rows of the results.
    - `statistic`: the mean, or `evaluation.statistics.iqm`.
    - `seed`: the seed of the bootstrap.

    **Returns:**

    The statistic of the success rates, 0 to 1, and its interval, by method and by environment.

    **Raises:**

    UserError as `outcomes` does.
    """
    places = _places(rows)
    groups = {str(name): places == name for name in np.unique(places)} | {ALL: np.full(len(places), True)}
    return {
        method: {name: _interval(values[..., chosen], statistic, seed) for name, chosen in groups.items()}
        for method, values in outcomes(rows).items()
    }


def markdown(rows: Sequence[Row]) -> str:
    """Success in percent as a Markdown table: a row for each environment, a column for each method.

    A cell has the mean over tasks with its interval as in `summary`, then the value of each task. The last rows are
    over all tasks. The header says how many training seeds there are. Tasks whose success is unknown are in a table of
    their own, `returns`. Raises UserError as `outcomes` does.
    """
    known, others = ([row for row in rows if (row.success is None) == unknown] for unknown in (False, True))
    found = ([_success(known)] if known or not others else []) + ([returns(others)] if others else [])
    return "\n\n".join(found)


def returns(rows: Sequence[Row]) -> str:
    """Mean return of an episode as a Markdown table: a row for each task, a column for each method.

    A cell has the mean over training seeds and the reported checkpoints, the mean of their intervals, and the
    normalised score if the task has reference returns.
    """
    methods = in_order({row.case.method for row in rows})
    cells: dict[str, dict[str, str]] = defaultdict(dict)
    for (task, method, _), group in _grouped(rows, lambda case: (case.task, case.method, 0)).items():
        ret, low, high = mean_return(group)
        scores = [row.score for row in group if row.score is not None]
        cells[task][method] = f"**{ret:.1f}** ({low:.1f} to {high:.1f})" + (
            f", score {np.mean(scores):.1f}" if scores else ""
        )
    lines = [[task, *(cells[task].get(method, "") for method in methods)] for task in sorted(cells)]
    return _table([["return", *methods], *lines])


def mean_return(rows: Sequence[Row]) -> Interval:
    """The mean of the rows' returns, and of the ends of their intervals."""
    return Interval(*(float(np.mean([getattr(row, name) for row in rows])) for name in ("ret", "ret_low", "ret_high")))


def _success(rows: Sequence[Row]) -> str:
    means, iqms, values, places = summary(rows), summary(rows, iqm), outcomes(rows), _places(rows)
    methods, num_seeds = in_order(means), len({row.case.seed for row in rows})
    table = [["environment" if num_seeds == 1 else f"environment, {num_seeds} seeds", *methods]]
    for place in dict.fromkeys(places.tolist()):
        each = {method: 100 * values[method].mean(axis=(0, 1))[places == place] for method in methods}
        cells = [
            f"{_percent(means[method][place])}: {' '.join(f'{v:.0f}' for v in each[method])}" for method in methods
        ]
        table.append([place, *cells])
    for label, found in ((f"mean of {len(places)} tasks", means), ("interquartile mean", iqms)):
        table.append([label, *(_percent(found[method][ALL]) for method in methods)])
    return _table(table)


def by_method(rows: Sequence[Row]) -> str:
    """Success in percent as a Markdown table for many methods: a row for each method, a column for each environment.

    A cell has the mean over tasks with its interval as in `summary`. Raises UserError as `outcomes` does.
    """
    means = summary(rows)
    places = list(next(iter(means.values())))
    header = ["method", *places[:-1], f"mean of {len({row.case.task for row in rows})} tasks"]
    return _table([header, *([method, *map(_percent, means[method].values())] for method in in_order(means))])


def outcomes(rows: Sequence[Row]) -> dict[str, Float[np.ndarray, "seeds episodes tasks"]]:
    """The success of each episode by method, 0 to 1, as the mean over checkpoints. All axes are sorted.

    The results have the number of successful episodes, but do not say which ones succeeded. Successes are assumed to be
    on the same episodes at every checkpoint, which gives the widest possible intervals.

    **Raises:**

    UserError unless every method has all tasks and seeds at all of its checkpoints, with the same number of episodes
    in all rows.
    """
    if any(row.success is None for row in rows):
        raise UserError(
            "results: got rows without success, expected success in all; `returns` compares these by return"
        )
    if not rows:
        raise UserError("results: got no rows, expected those of finished jobs; make them with `evor suite`")
    jobs, counts = _finished(rows), {row.case.episodes for row in rows}
    tasks, methods, seeds = _axes(rows)
    missing = [", ".join(map(str, job)) for job in itertools.product(tasks, methods, seeds) if job not in jobs]
    if missing or len(counts) != 1:
        raise UserError(
            f"results: got {len(jobs)} finished jobs, {len(missing)} missing ({'; '.join(missing[:3])}), and episodes "
            f"{sorted(counts)}, expected every task with all methods and seeds, and one number of episodes; finish "
            "with `evor suite`, or take only the rows that `common` returns"
        )
    values = {job: np.mean([_episodes(row) for row in checkpoints], axis=0) for job, checkpoints in jobs.items()}
    return {
        method: np.array([np.stack([values[task, method, seed] for task in tasks], axis=1) for seed in seeds])
        for method in methods
    }


def common(rows: Sequence[Row]) -> list[Row]:
    """The rows of the tasks that are finished for all methods and seeds, and so can be compared."""
    jobs, (tasks, methods, seeds) = _finished(rows), _axes(rows)
    finished = {task for task in tasks if jobs.keys() >= set(itertools.product([task], methods, seeds))}
    return [row for row in rows if row.case.task in finished]


def at_equal_time(rows: Sequence[Row]) -> list[Row]:
    """The rows for a comparison at equal training time.

    Methods with an `early_percent` train for longer than the others. They are reported at the checkpoint of that
    percentage alone; their rows of other checkpoints are left out. Other methods keep all rows.
    """
    last = {case.job: case.step for case in sorted((row.case for row in rows), key=lambda case: case.step)}
    kept = []
    for row in rows:
        case = row.case
        percent = METHODS[case.method].early_percent if case.method in METHODS else None
        if percent is None:
            kept.append(row)
        elif percent - 5 < 100 * case.step / last[case.job] <= percent:  # the last end of a block before it
            kept.append(replace(row, case=replace(case, reported=1)))
    return kept


def _places(rows: Sequence[Row]) -> np.ndarray:
    """The environment of each task; tasks are sorted."""
    by_task = {row.case.task: row.case.environment for row in rows}
    return np.array([by_task[task] for task in sorted(by_task)])


def _axes(rows: Sequence[Row]) -> tuple[list[str], list[str], list[int]]:
    """All tasks, methods and seeds, sorted."""
    cases = [row.case for row in rows]
    return (
        sorted({case.task for case in cases}),
        sorted({case.method for case in cases}),
        sorted({case.seed for case in cases}),
    )


def _finished(rows: Sequence[Row]) -> dict[JobKey, list[Row]]:
    """The reported rows of each finished job: one with as many of them as any job of its method."""
    jobs = _grouped(rows, lambda case: case.job)
    most: dict[str, int] = defaultdict(int)
    for (_, method, _), group in jobs.items():
        most[method] = max(most[method], len(group))
    return {job: group for job, group in jobs.items() if len(group) == most[job[1]]}


def _grouped(rows: Sequence[Row], key: Callable[[Case], JobKey]) -> dict[JobKey, list[Row]]:
    """The reported rows by a key of theirs."""
    groups: dict[JobKey, list[Row]] = defaultdict(list)
    for row in rows:
        if row.case.reported:
            groups[key(row.case)].append(row)
    return groups


def _table(lines: list[list[str]]) -> str:
    """Lines of cells as a Markdown table; the first line is the header."""
    header, *others = (f"| {' | '.join(cells)} |" for cells in lines)
    return "\n".join([header, f"|{' --- |' * len(lines[0])}", *others])


def _percent(interval: Interval) -> str:
    estimate, low, high = (100 * value for value in interval)
    return f"**{estimate:.1f}** ({low:.1f} to {high:.1f})"


def _episodes(row: Row) -> Float[np.ndarray, " episodes"]:
    """A one for each success, then a zero for each failure."""
    num = row.case.episodes
    return (np.arange(num) < round((row.success or 0.0) * num)).astype(float)


def _interval(values: Float[np.ndarray, "seeds episodes tasks"], statistic: Callable[..., Any], seed: int) -> Interval:
    if len(values) > 1:
        return bootstrap_interval(values.mean(axis=1), statistic, seed=seed)
    return bootstrap_interval(values[0], lambda outcomes: statistic(outcomes.mean(axis=0)), seed=seed)
