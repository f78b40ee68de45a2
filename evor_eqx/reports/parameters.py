"""Parameters of a notebook: reads the cell tagged `parameters`, and checks given values against it."""

import ast
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat

from evor_eqx.errors import UserError


def parse_parameters(settings: Iterable[str]) -> dict[str, Any]:
    """Parse `name=value` pairs. A value that is not a literal is a string. Raises UserError for anything else."""
    pairs = {setting: setting.partition("=") for setting in settings}
    for setting, (name, equals, _) in pairs.items():
        if not (name.isidentifier() and equals):
            raise UserError(f"parameter {setting!r}: expected name=value, for example num_candidates=32")
    return {name: _literal(value) for name, _, value in pairs.values()}


def parameters_cell(notebook: Path) -> nbformat.NotebookNode | None:
    """The first cell tagged `parameters`, or None. Raises UserError if the file is not a notebook."""
    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, AttributeError, KeyError) as error:
        reason = str(error).partition("\n")[0][:80]
        raise UserError(f"{notebook} is not a notebook ({reason}): restore it, or remove it from the folder") from None
    return next((cell for cell in cells if "parameters" in cell.metadata.get("tags", [])), None)


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Names and default values in the notebook's cell tagged `parameters`. Raises UserError unless all are literals."""
    cell = parameters_cell(notebook)
    if cell is None:
        raise UserError(f"{notebook.name} has no cell tagged `parameters`: tag the cell that sets its parameters")
    try:
        return dict(_assignment(node) for node in ast.parse(cell.source).body if not isinstance(node, ast.Expr))
    except (SyntaxError, ValueError):
        raise UserError(
            f"{notebook.name}: got other code in the cell tagged `parameters`, expected only lines `name = literal`; "
            "move the rest to the next cell"
        ) from None


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Raise UserError for a name that the notebook does not declare, or a value of another type than the default.

    An int may stand for a float and a tuple for a list, but a bool for neither int nor float. A default of None allows
    any value.
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
    """A hint with the closest known name, or an empty string."""
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
