"""The suite's results: a CSV file with one row per (task, method, seed, setting, step), and the command that made it.

It lies in `figures/results/`, so that it can be committed. Each row names the run folder that it comes from. The file
is sorted and complete at any moment. The same runs give the same file, except for the seconds of training. A row ends
with a checksum of its values, which also holds after a spreadsheet wrote them in other ways (0 for 0.0).
"""

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from evor_eqx.errors import UserError
from evor_eqx.evaluation.statistics import wilson_interval
from evor_eqx.runs.provenance import data_origins
from evor_eqx.suite.rows import REPORTED_SEED, Case, Row
from evor_eqx.system.files import replacing, short_hash
from evor_eqx.system.locks import lock

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
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path}: got text in UTF-16, expected UTF-8; save it as comma-separated values in UTF-8")
    text = content.decode("utf-8-sig", errors="replace")
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
    for values in _lines(reader, path):
        try:
            row = _parse(values)
            _check(row, evaluation_seed)
            if "checksum" in given and values["checksum"] != _checksum(row):  # files of before have none
                raise ValueError("its values do not match its checksum: one of them was changed")
            if row.case.key in rows:
                raise ValueError("its job, settings and step are those of an earlier line")
        except (ValueError, OverflowError) as error:
            raise UserError(
                f"line {reader.line_num} of {path} ({error}): restore the file, or delete the line and run "
                "`evor suite` to make it again"
            ) from None
        rows[row.case.key] = row
    return [rows[key] for key in sorted(rows)]


def _lines(reader: csv.DictReader, path: Path) -> Iterator[dict[str, str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise UserError(f"line {reader.line_num + 1} of {path} ({error}): restore the file") from None


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
    if row.ret is not None and not math.isfinite(row.ret):
        raise UserError(f"ret is {row.ret}: expected a finite return")
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
