"""Records as JSON, each with a checksum and, where it belongs to something, with a name of what.

A record that is found elsewhere, because files were exchanged, is refused as misplaced.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evor_eqx.errors import UserError
from evor_eqx.system.files import replacing, short_hash


class _Misplaced(ValueError):
    """A whole record of something else."""


def write_json(path: Path, value: dict[str, Any], of: str | None = None) -> None:
    """Write `value` with its checksum as indented JSON; the file is replaced as a whole. `of` is what it belongs to."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(sealed(value, of), indent=1, sort_keys=True) + "\n")


def read_json(path: Path, of: str | None = None, optional_checksum: bool = False) -> dict[str, Any]:
    """Read a file that `write_json` wrote.

    **Arguments:**

    - `path`: the file.
    - `of`: what it belongs to, as it was written. Records from before this was noted are read, too.
    - `optional_checksum`: whether a record without a checksum is taken as it is.

    **Raises:** UserError that names the file if it is absent, damaged, or of something else.
    """
    try:
        value = json.loads(path.read_text())
        if optional_checksum and isinstance(value, dict) and "checksum" not in value:
            return value
        return unsealed(value, of)
    except FileNotFoundError:
        raise UserError(
            f"no file {path}: expected a JSON file; make it again with the command that writes it"
        ) from None
    except _Misplaced as error:
        raise UserError(f"misplaced file {path}: got {error}; put the right file back") from None
    except ValueError as error:
        raise UserError(f"damaged file {path}: expected JSON ({error}); delete it and make it again") from None


def append_line(path: Path, row: dict[str, Any], of: str | None = None) -> None:
    """Append a row with its checksum to a JSON-lines file."""
    with open(path, "a") as file:
        file.write(json.dumps(sealed(row, of)) + "\n")


def write_lines(path: Path, rows: list[dict[str, Any]], of: str | None = None) -> None:
    """Write a JSON-lines file, each row with its checksum; the file is replaced as a whole."""
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(sealed(row, of)) + "\n" for row in rows))


def read_lines(path: Path, of: str | None = None) -> Iterator[dict[str, Any]]:
    """Read the rows of a JSON-lines file; none if it is absent. `of` is as in `read_json`.

    A last line that was cut off by a kill is left out.

    **Raises:** UserError that names the file and the line if another line is damaged, or of something else.
    """
    if not path.exists():
        return
    *lines, rest = path.read_bytes().split(b"\n")
    if _is_row(rest[:-1]):  # not cut off: a whole row with a damaged line end
        lines.append(rest)
    for number, line in enumerate(lines, start=1):
        try:
            yield unsealed(json.loads(line), of)
        except _Misplaced as error:
            raise UserError(f"misplaced line {number} of {path}: got {error}; put the right file back") from None
        except ValueError as error:
            raise UserError(
                f"damaged line {number} of {path} ({error}): delete that line, or the file to make it again"
            ) from None


def sealed(value: dict[str, Any], of: str | None = None) -> dict[str, Any]:
    """Add to a record what it is of, and a checksum of all the rest."""
    value = value if of is None else {**value, "of": of}
    return {**value, "checksum": short_hash(value)}


def unsealed(value: Any, of: str | None = None) -> dict[str, Any]:
    """Check a record's checksum and what it is of, and take both off.

    **Raises:** ValueError if this is no record, if its checksum is missing or wrong, or if it is of something else.
    """
    if not isinstance(value, dict):
        raise ValueError(f"got {type(value).__name__}, expected a record")
    rest = {name: part for name, part in value.items() if name != "checksum"}
    if value.get("checksum") != short_hash(rest):
        raise ValueError("it does not match its checksum")
    found = rest.pop("of", None)
    if found not in (None, of):
        raise _Misplaced(f"the record of {found}, expected that of {of or 'this place'}")
    return rest


def _is_row(line: bytes) -> bool:
    try:
        unsealed(json.loads(line))
    except _Misplaced:
        return True
    except ValueError:
        return False
    return True
