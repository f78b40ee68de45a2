"""The suite's results: a CSV file with one row per (task, method, seed, setting, step), and the command that made it.

It lies in `figures/results/`, so that it can be committed. Each row names the run folder that it comes from. The file
is sorted and complete at any moment. The same runs give the same file, except for the seconds of training.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from evor_eqx.config import EvaluationConfig
from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.runs.provenance import data_origins
from evor_eqx.system.files import replacing
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

    @property
    def environment(self) -> str:
        """The environment of its task, such as cube-single or scene-sparse."""
        return parse_task(self.task).environment

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
    success: float  # share of the episodes, 0 to 1
    low: float  # Wilson's 95 % interval
    high: float
    # Seconds of training up to the step, at the run's median speed, without evaluation, bank and pauses. If several
    # seeds were trained side by side, one seed's share.
    wall_s: float
    command: str


_CASE: dict[str, Any] = {field.name: field.type for field in fields(Case)}
_OUTCOME: dict[str, Any] = {field.name: field.type for field in fields(Row) if field.name != "case"}
COLUMNS = (*_CASE, *_OUTCOME)


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
    text = path.read_bytes().decode(errors="replace")  # bytes that are not text fail to parse below, with their line
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="more", restval="")
    if set(reader.fieldnames or ()) != set(COLUMNS):
        got = ", ".join(reader.fieldnames or ()) or "none"
        raise UserError(f"columns of {path}: got {got}, expected {', '.join(COLUMNS)}; restore the file")
    rows: dict[tuple, Row] = {}
    for values in reader:
        try:
            row = _parse(values)
            _check(row, evaluation_seed)
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
        lines = [{**asdict(row.case), **_outcome(row)} for row in sorted((*others, *rows), key=lambda r: r.case.key)]
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
    facts = {(parse_task(case.task).dataset, case.dataset_origin, case.dataset_fingerprint) for case in cases}
    names = ("dataset", "origin", "fingerprint")
    return data_origins(dict(zip(names, values, strict=True)) for values in sorted(facts))


def _outcome(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in _OUTCOME}


def _parse(values: dict[str, str]) -> Row:
    """Parse the texts of a row. Raises ValueError if they do not fit the columns."""
    if "more" in values or "" in values.values():
        raise ValueError(f"expected {len(COLUMNS)} values, none of them empty")
    case = Case(**{name: kind(values[name]) for name, kind in _CASE.items()})
    return Row(case, **{name: kind(values[name]) for name, kind in _OUTCOME.items()})


def _check(row: Row, evaluation_seed: int) -> None:
    """Raise UserError for impossible values, and for episodes that do not belong in these results."""
    case = row.case
    if not 0 <= row.low <= row.success <= row.high <= 1:
        interval = f"{row.low} to {row.high}"
        raise UserError(f"success is {row.success} with interval {interval}: expected 0 <= low <= success <= high <= 1")
    if case.episodes < 1 or case.reported not in (0, 1):
        raise UserError(
            f"episodes is {case.episodes} and reported {case.reported}: expected episodes >= 1 and reported 0 or 1"
        )
    if case.evaluation_seed != evaluation_seed:
        raise UserError(
            f"evaluation_seed is {case.evaluation_seed}: expected {evaluation_seed} in these results; episodes for "
            "tuning and for reports have separate files"
        )
