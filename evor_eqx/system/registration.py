"""Names of your own things: what may be registered under which name."""

import re
from typing import Any

from evor_eqx.errors import UserError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def check_name(what: str, name: str, thing: Any, known: Any) -> None:
    """Raise UserError if a name cannot be given to a thing.

    **Arguments:**

    - `what`: what it is, e.g. critic.
    - `name`: the name.
    - `thing`: the function or class to be registered.
    - `known`: what has this name already, or None. It may be an earlier definition of the same thing: a notebook's cell
      that is run again.
    """
    check_spelling(what, name)
    if known is not None and _place(known) != _place(thing):
        raise UserError(
            f"{what} {name!r}: there is one of this name already, {'.'.join(map(str, _place(known)))}, expected a new "
            "name; choose another name"
        )


def check_spelling(what: str, name: str) -> None:
    """Raise UserError if a name cannot be that of anything."""
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise UserError(
            f"name of a {what}: got {name!r}, expected up to 40 letters, digits or underscores, a letter first; choose "
            "another name"
        )


def _place(thing: Any) -> tuple[Any, Any]:
    """Module and qualified name, by which a later definition of the same thing is known."""
    return getattr(thing, "__module__", None), getattr(thing, "__qualname__", repr(thing))
