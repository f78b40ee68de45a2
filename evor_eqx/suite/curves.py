"""Curves from the results: success against one setting or against training, for each environment and over `all`.

For tasks whose success is unknown they show the return, with the mean of the rows' intervals. The episodes of all tasks
and training seeds of an environment are pooled. Wilson's intervals count each episode once. They do not cover the
variation between training seeds.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from evor_eqx.evaluation.statistics import Interval, wilson_interval
from evor_eqx.suite.rows import Row
from evor_eqx.suite.tables import ALL, mean_return

SETTINGS = ("num_candidates", "tau_r", "tau_q")


def against_setting(rows: Sequence[Row], method: str, name: str) -> dict[str, dict[float, Interval]]:
    """Success at the end of training for each value of one setting. The other settings are the reported ones.

    Only jobs that were evaluated at more than one value count. Environments without such jobs are left out.

    **Arguments:**

    - `rows`: rows of the results.
    - `method`: the method's name.
    - `name`: one of `SETTINGS`.

    **Returns:**

    The success rate, 0 to 1, and its interval, by environment and by value.
    """
    lines = []
    for job in _jobs(rows, method):
        step = max(row.case.step for row in job)
        others = [other for other in SETTINGS if other != name]
        line = [row for row in job if row.case.step == step and _same(row, _reported(job), others)]
        lines += line if len(line) > 1 else []
    return _pooled(lines, name)


def against_updates(rows: Sequence[Row], method: str) -> dict[str, dict[float, Interval]]:
    """Success for each number of updates, at the reported settings, by environment.

    Only jobs with the same checkpoints count, so that all points of a curve are over the same tasks: the jobs with the
    most checkpoints and, if these have different ones, those with the most common. Jobs that have only the reported
    checkpoints do not count. Environments without such jobs are left out.
    """
    lines = [[row for row in job if _same(row, _reported(job), SETTINGS)] for job in _jobs(rows, method)]
    lines = [line for line in lines if not all(row.case.reported for row in line)]
    num_jobs = Counter(_steps(line) for line in lines)
    chosen = max(num_jobs, key=lambda steps: (len(steps), num_jobs[steps]), default=())
    return _pooled([row for line in lines if _steps(line) == chosen for row in line], "step")


def seconds_per_update(rows: Sequence[Row], method: str) -> float:
    """The mean training time of one update of a method, in seconds."""
    times = [row.wall_s / row.case.step for row in rows if row.case.method == method]
    return sum(times) / len(times)


def _jobs(rows: Sequence[Row], method: str) -> Iterable[list[Row]]:
    """The rows of each job of a method, for jobs with a reported row."""
    jobs: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        if row.case.method == method:
            jobs[row.case.job].append(row)
    return [job for job in jobs.values() if any(row.case.reported for row in job)]


def _steps(line: list[Row]) -> tuple[int, ...]:
    return tuple(sorted(row.case.step for row in line))


def _reported(job: list[Row]) -> Row:
    return next(row for row in job if row.case.reported)


def _same(row: Row, other: Row, names: Sequence[str]) -> bool:
    return all(getattr(row.case, name) == getattr(other.case, name) for name in names)


def _pooled(rows: Sequence[Row], name: str) -> dict[str, dict[float, Interval]]:
    """The share of episodes that succeeded, by environment (`all` last) and by the sorted values of a column.

    `all` has only the values that every environment has. Other values would be over a different set of environments.
    """
    groups: dict[str, dict[float, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row.case.environment][float(getattr(row.case, name))].append(row)
    places = sorted(groups)
    known = [place for place in places if all(row.success is not None for of in groups[place].values() for row in of)]
    for value in set.intersection(*(set(groups[place]) for place in known)) if known else ():
        groups[ALL][value] = [row for place in known for row in groups[place][value]]
    return {
        place: {value: _share(groups[place][value]) for value in sorted(groups[place])}
        for place in (*places, ALL)
        if groups[place]
    }


def _share(rows: Sequence[Row]) -> Interval:
    successes = [row.success * row.case.episodes for row in rows if row.success is not None]
    if len(successes) < len(rows):
        return mean_return(rows)
    num_successes = round(sum(successes))
    return wilson_interval(num_successes, sum(row.case.episodes for row in rows))
