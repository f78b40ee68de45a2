"""Parameters of a notebook: what its cell tagged `parameters` declares, and whether given values fit."""

import ast
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from evor_eqx.errors import UserError


def parse_parameters(settings: Iterable[str]) -> dict[str, Any]:
    """Values by name from `name=value`, where a value that is no literal is a string; UserError without a `=`."""
    pairs = {setting: setting.partition("=") for setting in settings}
    for setting, (name, equals, _) in pairs.items():
        if not (name.isidentifier() and equals):
            raise UserError(f"parameter {setting!r}: expected name=value, for example num_candidates=32")
    return {name: _literal(value) for name, _, value in pairs.values()}


def parameters_cell(notebook: Path) -> nbformat.NotebookNode | None:
    """The first cell tagged `parameters`, or None. Raises UserError for a file that is no notebook."""
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError, KeyError) as error:
        reason = str(error).partition("\n")[0][:80]
        raise UserError(f"{notebook} is no notebook ({reason}): restore it, or take it out of the folder") from None
    return next((cell for cell in cells if "parameters" in cell.metadata.get("tags", [])), None)


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Names and default values in the notebook's cell tagged `parameters`, which must be literals."""
    cell = parameters_cell(notebook)
    if cell is None:
        raise UserError(f"{notebook.name} has no cell tagged `parameters`: tag the cell that sets its parameters")
    try:
        return dict(_assignment(node) for node in ast.parse(cell.source).body if not isinstance(node, ast.Expr))
    except (SyntaxError, ValueError):
        raise UserError(f"{notebook.name}: the cell tagged `parameters` must be lines `name = literal`") from None


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Raise UserError for a name that the notebook does not declare, or a value that is not of the default's type.

    An int is a float, a tuple is a list; a bool is neither int nor float; a default of None takes anything.
    """
    defaults = declared_parameters(notebook)
    for name, value in parameters.items():
        if name not in defaults:
            expected = f"expected one of: {', '.join(defaults)}"
            raise UserError(f"{notebook.name} has no parameter {name!r}{did_you_mean(name, defaults)}; {expected}")
        if not _accepts(defaults[name], value):
            kind = type(defaults[name]).__name__
            raise UserError(f"{notebook.name}: parameter {name} = {value!r}, expected {kind} like {defaults[name]!r}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the closest known name, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def _assignment(node: ast.stmt) -> tuple[str, Any]:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name, ast.literal_eval(node.value or "")
    raise ValueError("not an assignment to one name")


def _accepts(default: Any, value: Any) -> bool:
    if default is None:
        return True
    if isinstance(default, list | tuple):
        return isinstance(value, list | tuple) and all(_accepts(default[0], item) for item in value if default)
    return type(value) is type(default) or (type(default) is float and type(value) is int)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
