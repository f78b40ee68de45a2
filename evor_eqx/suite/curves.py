"""Curves from the record: success against one setting, and against training, for each environment and over `all`.

Episodes of all tasks and training seeds of an environment, or of all, are pooled. Wilson's intervals count each episode
once; they leave out what another training would change.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from evor_eqx.evaluation.statistics import Interval, wilson_interval
from evor_eqx.suite.results import Row
from evor_eqx.suite.tables import ALL

SETTINGS = ("num_candidates", "tau_r", "tau_q")


def against_setting(rows: Sequence[Row], method: str, name: str) -> dict[str, dict[float, Interval]]:
    """For each environment, success at the end of training by the value of one of `SETTINGS`, the others as reported.

    Of the jobs that were evaluated at more than one value; environments without are left out.
    """
    lines = []
    for job in _jobs(rows, method):
        step = max(row.case.step for row in job)
        others = [other for other in SETTINGS if other != name]
        line = [row for row in job if row.case.step == step and _same(row, _reported(job), others)]
        lines += line if len(line) > 1 else []
    return _pooled(lines, name)


def against_updates(rows: Sequence[Row], method: str) -> dict[str, dict[float, Interval]]:
    """For each environment, success by the number of updates, at the reported setting.

    Of the jobs that were evaluated at the most checkpoints, if these are more than the reported ones: a point of other
    jobs would be of other tasks. Environments without such jobs are left out.
    """
    lines = [[row for row in job if _same(row, _reported(job), SETTINGS)] for job in _jobs(rows, method)]
    lines = [line for line in lines if not all(row.case.reported for row in line)]
    most = max(map(len, lines), default=0)
    return _pooled([row for line in lines if len(line) == most for row in line], "step")


def seconds_per_update(rows: Sequence[Row], method: str) -> float:
    """The mean training time of an update of a method, in seconds."""
    times = [row.wall_s / row.case.step for row in rows if row.case.method == method]
    return sum(times) / len(times)


def _jobs(rows: Sequence[Row], method: str) -> Iterable[list[Row]]:
    """The rows of each job of a method that has come to its report."""
    jobs: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        if row.case.method == method:
            jobs[row.case.job].append(row)
    return [job for job in jobs.values() if any(row.case.reported for row in job)]


def _reported(job: list[Row]) -> Row:
    return next(row for row in job if row.case.reported)


def _same(row: Row, other: Row, names: Sequence[str]) -> bool:
    return all(getattr(row.case, name) == getattr(other.case, name) for name in names)


def _pooled(rows: Sequence[Row], name: str) -> dict[str, dict[float, Interval]]:
    """By environment, `all` last, and by the value of a column, sorted: the share of episodes that succeeded.

    Over `all` only at values that every environment has: elsewhere it would say which environments these are.
    """
    groups: dict[str, dict[float, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row.case.environment][float(getattr(row.case, name))].append(row)
    places = sorted(groups)
    for value in set.intersection(*map(set, groups.values())) if places else ():
        groups[ALL][value] = [row for place in places for row in groups[place][value]]
    return {
        place: {value: _share(groups[place][value]) for value in sorted(groups[place])}
        for place in (*places, ALL)
        if groups[place]
    }


def _share(rows: Sequence[Row]) -> Interval:
    num_successes = round(sum(row.success * row.case.episodes for row in rows))
    return wilson_interval(num_successes, sum(row.case.episodes for row in rows))
