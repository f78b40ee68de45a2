"""The record of results: a CSV file with one row per (task, method, seed, setting, step), and the command that made it.

It lies in `figures/results/`, so that it can be committed; what it is made from lies in the run folders that its rows
name. Files are sorted, whole at any moment, and say the same for the same runs, but for the seconds of training.
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
from evor_eqx.system.locks import lease

REPORTED_SEED = EvaluationConfig().seed
TUNING_SEED = 20_000


@dataclass(frozen=True)
class Case:
    """What was evaluated: all that a row says but its outcome."""

    task: str
    method: str
    seed: int  # of the base policy's and the critic's training
    num_candidates: int
    tau_r: float
    tau_q: float
    num_returns: int
    step: int  # updates of the critic, or of the base policy where there is no critic
    reported: int  # 1: the method's value is the mean over these rows, one a checkpoint; 0: a point of a curve
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
        """What is trained once: (task, method, seed)."""
        return self.task, self.method, self.seed

    @property
    def key(self) -> tuple[str | int | float, ...]:
        """What no two rows of a record share, and what they are sorted by."""
        return (*self.job, self.num_candidates, self.tau_r, self.tau_q, self.step)


@dataclass(frozen=True)
class Row:
    """One evaluation and its outcome."""

    case: Case
    success: float  # share of the episodes, 0 to 1
    low: float  # Wilson's 95 % interval
    high: float
    # Seconds of training the run up to the step, at its median speed: no evaluation, no bank, no pause; its share of
    # them if several seeds were trained side by side.
    wall_s: float
    command: str


_CASE: dict[str, Any] = {field.name: field.type for field in fields(Case)}
_OUTCOME: dict[str, Any] = {field.name: field.type for field in fields(Row) if field.name != "case"}
COLUMNS = (*_CASE, *_OUTCOME)


def read_record(path: Path, evaluation_seed: int = REPORTED_SEED) -> list[Row]:
    """All rows of a record, sorted.

    Raises UserError if there is no such file, a column is missing or unknown, or a row is damaged, twice there, or of
    other episodes than those from `evaluation_seed` on: what was tuned on never passes for what is reported.
    """
    if not path.is_file():
        raise UserError(f"no record {path}: `evor suite` makes it")
    text = path.read_bytes().decode(errors="replace")  # what is no text is no number either, and is named below
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
                raise ValueError("the same key twice")
        except ValueError as error:
            raise UserError(
                f"line {reader.line_num} of {path} ({error}): restore the file, or delete the line, and `evor suite` "
                "makes it again"
            ) from None
        rows[row.case.key] = row
    return [rows[key] for key in sorted(rows)]


def put_rows(path: Path, rows: Sequence[Row], evaluation_seed: int = REPORTED_SEED) -> None:
    """Write rows into a record, in the place of all rows that it has of the same (task, method, seed).

    Of several processes that write, one waits for the other. Raises UserError as `read_record` does.
    """
    jobs = {row.case.job for row in rows}
    for row in rows:
        _check(row, evaluation_seed)
    with lease(path):
        before = read_record(path, evaluation_seed) if path.exists() else []
        others = [row for row in before if row.case.job not in jobs]
        lines = [{**asdict(row.case), **_outcome(row)} for row in sorted((*others, *rows), key=lambda r: r.case.key)]
        with replacing(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


def datasets_of(rows: Sequence[Row]) -> dict[str, str]:
    """By dataset, what its rows are of, as origin:fingerprint; with commas where they are of several.

    The same command may make data of another fingerprint: with another MuJoCo or numpy, or where there is no AVX2.
    """
    cases = [row.case for row in rows]
    facts = {(parse_task(case.task).dataset, case.dataset_origin, case.dataset_fingerprint) for case in cases}
    names = ("dataset", "origin", "fingerprint")
    return data_origins(dict(zip(names, values, strict=True)) for values in sorted(facts))


def _outcome(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in _OUTCOME}


def _parse(values: dict[str, str]) -> Row:
    """A row from its texts; ValueError says what is wrong."""
    if "more" in values or "" in values.values():
        raise ValueError(f"expected {len(COLUMNS)} values")
    case = Case(**{name: kind(values[name]) for name, kind in _CASE.items()})
    return Row(case, **{name: kind(values[name]) for name, kind in _OUTCOME.items()})


def _check(row: Row, evaluation_seed: int) -> None:
    """Raise UserError for values that cannot be, and for episodes that do not belong in the record."""
    case = row.case
    if not 0 <= row.low <= row.success <= row.high <= 1:
        raise UserError(f"success {row.success} in {row.low} to {row.high}: expected 0 to 1 and inside its interval")
    if case.episodes < 1 or case.reported not in (0, 1):
        raise UserError(f"episodes {case.episodes}, reported {case.reported}: expected at least 1, and 0 or 1")
    if case.evaluation_seed != evaluation_seed:
        raise UserError(f"evaluation_seed is {case.evaluation_seed}: expected {evaluation_seed} in this record")
