"""Dataclasses whose fields are checked when they are made, and that come back from their JSON records."""

from dataclasses import field, fields
from typing import Any, TypeVar, get_type_hints

import numpy as np

from evor_eqx.errors import UserError

Checkable = TypeVar("Checkable", bound="Checked")


def within(low: int | float, high: int | float, default: Any) -> Any:
    """A dataclass field whose value must lie in [low, high], or be None where its type allows that."""
    return field(default=default, metadata={"low": low, "high": high})


def one_of(*choices: str, default: str) -> Any:
    """A dataclass field whose value must be one of the choices."""
    return field(default=default, metadata={"choices": choices})


class Checked:
    """A dataclass whose fields are checked when it is made; UserError names the field, its value and the range."""

    def __post_init__(self) -> None:
        kinds = field_types(type(self))
        for each in fields(self):  # type: ignore[arg-type]
            value, allowed, kind = getattr(self, each.name), each.metadata, kinds[each.name]
            if isinstance(value, np.generic):  # as numpy computes it
                value = value.item()
                object.__setattr__(self, each.name, value)
            if "low" in allowed and value is not None:
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                if not (is_number and allowed["low"] <= value <= allowed["high"]):
                    raise UserError(f"{each.name} is {value}: expected {allowed['low']} to {allowed['high']}")
                if kind in (int, int | None) and not isinstance(value, int):
                    raise UserError(f"{each.name} is {value}: expected a whole number, such as {int(value)}")
                if kind in (float, float | None):
                    object.__setattr__(self, each.name, float(value))  # 1 and 1.0 name the same run
            if "choices" in allowed and value not in allowed["choices"]:
                raise UserError(f"{each.name} is {value!r}: expected one of {', '.join(allowed['choices'])}")


def field_types(kind: type) -> dict[str, Any]:
    """The types of a class's fields by name, also if annotations are texts (`from __future__ import annotations`).

    Raises UserError if an annotation names something that its module does not have at run time.
    """
    try:
        return get_type_hints(kind)
    except NameError as error:
        raise UserError(
            f"annotations of {kind.__qualname__}: got {error.name!r}, expected names that its module has at run time; "
            "import or define it at the top of the module, not under TYPE_CHECKING or in a function"
        ) from error


def from_record(kind: type[Checkable], record: dict[str, Any]) -> Checkable:
    """The configuration of class `kind`, back from what `to_record` made of it."""
    hints, values = field_types(kind), dict(record)
    for name in ("kind", "code"):
        values.pop(name, None)
    for name, value in values.items():
        if isinstance(value, dict):
            values[name] = from_record(hints[name], value)
    return kind(**values)
