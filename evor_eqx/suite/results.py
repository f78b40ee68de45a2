"""The suite's results: a CSV file with one row per (task, method, seed, setting, step), and the command that made it.

It lies in `figures/results/`, so that it can be committed. Each row names the run folder that it comes from. The file
is sorted and complete at any moment. The same runs give the same file, except for the seconds of training. A row ends
with a checksum of its values, which also holds after a spreadsheet wrote them in other ways (0 for 0.0).
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evor_eqx.config import EvaluationConfig
from evor_eqx.envs.tasks import OgbenchTask, is_task, ogbench_task
from evor_eqx.errors import UserError
from evor_eqx.evaluation.statistics import wilson_interval
from evor_eqx.runs.provenance import data_origins
from evor_eqx.system.files import replacing, short_hash
from evor_eqx.system.locks import lock

REPORTED_SEED = EvaluationConfig().seed
TUNING_SEED = 20_000
SETTINGS = ("num_candidates", "tau_r", "tau_q", "num_returns")  # the inference settings in which cases may differ


@dataclass(frozen=True)
class Case:
    """What was evaluated: all columns of a row except its outcome."""

    task: str
    method: str
    seed: int  # of the base policy's and the critic's training
    num_candidates: int
    tau_r: float
    tau_q: float
    num_returns: int
    step: int  # updates of the critic or, without one, of the base policy
    reported: int  # 1: a method's value is the mean over these rows, one for each checkpoint; 0: a point of a curve
    episodes: int
    evaluation_seed: int  # of the first episode
    dataset_fingerprint: str
    dataset_origin: str
    reward_timing: str
    ogbench: str
    run: str
    own_task: str = ""  # a digest of a task of your own: discount, environment, reference returns; empty for OGBench's

    @property
    def environment(self) -> str:
        """The environment of its task, such as cube-single or scene-sparse; the name of a task of your own."""
        return self._ogbench.environment if self._ogbench else self.task

    @property
    def dataset(self) -> str:
        """The name of its task's data."""
        return self._ogbench.dataset if self._ogbench else self.task

    @cached_property
    def _ogbench(self) -> OgbenchTask | None:
        return ogbench_task(self.task) if not self.own_task and is_task(self.task) else None

    @property
    def job(self) -> tuple[str, str, int]:
        """(task, method, seed), which names a job of the suite."""
        return self.task, self.method, self.seed

    @property
    def key(self) -> tuple[str | int | float, ...]:
        """The sort key, which is unique in a file of results."""
        return (*self.job, self.num_candidates, self.tau_r, self.tau_q, self.step)


@dataclass(frozen=True)
class Row:
    """One evaluation and its outcome."""

    case: Case
    success: float | None  # share of the episodes, 0 to 1; None if the environment does not say
    low: float | None  # Wilson's 95 % interval
    high: float | None
    # Seconds of training up to the step, at the run's median speed, without evaluation, bank and pauses. If several
    # seeds were trained side by side, one seed's share.
    wall_s: float
    command: str
    ret: float | None = None  # mean undiscounted return of an episode; None in rows from before it was noted
    ret_low: float | None = None  # 95 % bootstrap interval
    ret_high: float | None = None
    score: float | None = None  # the return, normalised to 0 to 100 by the task's reference returns, if it has any


_CASE: dict[str, Any] = {field.name: field.type for field in fields(Case)}
_OUTCOME: dict[str, Any] = {field.name: field.type for field in fields(Row) if field.name != "case"}
_OPTIONAL = {name for name, kind in _OUTCOME.items() if kind == float | None}
_MAY_BE_EMPTY = {*_OPTIONAL, "own_task", "checksum"}
COLUMNS = (*_CASE, *_OUTCOME, "checksum")


def read_results(path: Path, evaluation_seed: int = REPORTED_SEED) -> list[Row]:
    """Read a file of results.

    **Arguments:**

    - `path`: the CSV file.
    - `evaluation_seed`: the seed of the first episode that all rows must have. It keeps the episodes used for tuning
      out of the reported results.

    **Returns:**

    All rows, sorted.

    **Raises:**

    UserError if the file or a column is missing, a column is unknown, or a row is damaged, repeated or of other
    episodes.
    """
    if not path.is_file():
        raise UserError(f"no results at {path}: run `evor suite` to make them")
    # Spreadsheets put a byte order mark first. Bytes that are not text fail to parse below, with their line.
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    if ";" in text.partition("\n")[0]:
        raise UserError(
            f"columns of {path}: got semicolons between them, as a spreadsheet saves them, expected commas; save it as "
            "comma-separated values with points in numbers, or restore the file"
        )
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="more", restval="")
    given = set(reader.fieldnames or ())
    if not set(COLUMNS) - _MAY_BE_EMPTY <= given <= set(COLUMNS):  # files from before a column may be without it
        got = ", ".join(reader.fieldnames or ()) or "none"
        raise UserError(f"columns of {path}: got {got}, expected {', '.join(COLUMNS)}; restore the file")
    rows: dict[tuple, Row] = {}
    for values in reader:
        try:
            row = _parse(values)
            _check(row, evaluation_seed)
            if values.get("checksum") not in (None, "", _checksum(row)):
                raise ValueError("its values do not match its checksum: one of them was changed")
            if row.case.key in rows:
                raise ValueError("its job, settings and step are those of an earlier line")
        except ValueError as error:
            raise UserError(
                f"line {reader.line_num} of {path} ({error}): restore the file, or delete the line and run "
                "`evor suite` to make it again"
            ) from None
        rows[row.case.key] = row
    return [rows[key] for key in sorted(rows)]


def put_rows(path: Path, rows: Sequence[Row], evaluation_seed: int = REPORTED_SEED) -> None:
    """Write rows into a file of results. They replace all earlier rows of the same jobs (task, method, seed).

    Several processes may write to one file: each waits for the others. Raises UserError as `read_results` does.
    """
    jobs = {row.case.job for row in rows}
    for row in rows:
        _check(row, evaluation_seed)
    with lock(path):
        before = read_results(path, evaluation_seed) if path.exists() else []
        others = [row for row in before if row.case.job not in jobs]
        rows = sorted(_with_known_success((*others, *rows)), key=lambda row: row.case.key)
        lines = [{**asdict(row.case), **_outcome(row), "checksum": _checksum(row)} for row in rows]
        with replacing(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


def datasets_of(rows: Sequence[Row]) -> dict[str, str]:
    """The origin and fingerprint of each dataset in the rows, as origin:fingerprint; several are joined by commas.

    The same command can generate data with another fingerprint: with another version of MuJoCo or numpy, or on a
    machine without AVX2.
    """
    cases = [row.case for row in rows]
    facts = {(case.dataset, case.dataset_origin, case.dataset_fingerprint) for case in cases}
    names = ("dataset", "origin", "fingerprint")
    return data_origins(dict(zip(names, values, strict=True)) for values in sorted(facts))


def _with_known_success(rows: Sequence[Row]) -> list[Row]:
    """The rows with success 0 where the environment never said anything, if it did so in other rows of the task."""
    known = {(row.case.task, row.case.own_task) for row in rows if row.success}  # a 0 may be one that is noted here

    def failed(row: Row) -> Row:
        share, low, high = (round(value, 4) for value in wilson_interval(0, row.case.episodes))
        return replace(row, success=share, low=low, high=high)

    return [failed(row) if row.success is None and (row.case.task, row.case.own_task) in known else row for row in rows]


def _outcome(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in _OUTCOME}


def _checksum(row: Row) -> str:
    """A word (of 12345e67 a spreadsheet would make a number) for all values that are not empty, as they are read."""
    kinds = _CASE | _OUTCOME | dict.fromkeys(_OPTIONAL, float)
    values: dict[str, Any] = asdict(row.case) | _outcome(row)
    return f"x{short_hash({name: kinds[name](value) for name, value in values.items() if value not in (None, '')})}"


def _parse(values: dict[str, str]) -> Row:
    """Parse the texts of a row. Raises ValueError if they do not fit the columns."""
    if "more" in values or any(value == "" for name, value in values.items() if name not in _MAY_BE_EMPTY):
        may = ", ".join(name for name in COLUMNS if name in _MAY_BE_EMPTY)
        raise ValueError(f"expected {len(COLUMNS)} values, of which only {may} may be empty")
    values = dict.fromkeys(_MAY_BE_EMPTY, "") | values
    outcome: dict[str, Any] = {name: float(text) if (text := values[name]) else None for name in _OPTIONAL}
    outcome |= {name: kind(values[name]) for name, kind in _OUTCOME.items() if name not in _OPTIONAL}
    return Row(Case(**{name: kind(values[name]) for name, kind in _CASE.items()}), **outcome)


def _check(row: Row, evaluation_seed: int) -> None:
    """Raise UserError for impossible values, and for episodes that do not belong in these results."""
    case = row.case
    if row.success is None:
        is_known = row.low is None and row.high is None and row.ret is not None
    else:
        is_known = row.low is not None and row.high is not None and 0 <= row.low <= row.success <= row.high <= 1
    if not is_known:
        interval = f"{row.low} to {row.high}"
        raise UserError(
            f"success is {row.success} with interval {interval}: expected 0 <= low <= success <= high <= 1, or none of "
            "them and a return"
        )
    if case.episodes < 1 or case.reported not in (0, 1):
        raise UserError(
            f"episodes is {case.episodes} and reported {case.reported}: expected episodes >= 1 and reported 0 or 1"
        )
    if row.success is not None and row.low is not None and row.high is not None:
        expected = [round(value, 4) for value in wilson_interval(round(row.success * case.episodes), case.episodes)]
        if not np.allclose([row.success, row.low, row.high], expected, atol=2e-4):
            raise UserError(
                f"success is {row.success} with interval {row.low} to {row.high} in {case.episodes} episodes: expected "
                f"{' '.join(map(str, expected))}, the share of a whole number of episodes with its interval"
            )
    if case.evaluation_seed != evaluation_seed:
        raise UserError(
            f"evaluation_seed is {case.evaluation_seed}: expected {evaluation_seed} in these results; episodes for "
            "tuning and for reports have separate files"
        )
