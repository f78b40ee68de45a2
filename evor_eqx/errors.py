"""The one error that a user can cause: what was wrong, what was got, what was expected, what to do.

The command line prints its message on one line and leaves with exit code 2; everything else that is raised is a bug.
"""

import contextlib
from collections.abc import Iterator
from typing import Any


class UserError(ValueError):
    """Input or environment that the user can mend: unknown task, wrong range, missing or damaged file."""


@contextlib.contextmanager
def told(what: str, expected: str = "it to run", remedy: str = "mend it") -> Iterator[None]:
    """Turn what the user's own code raises into a UserError.

    **Arguments:**

    - `what`: what raised it, e.g. make_env of pendulum.
    - `expected`, `remedy`: how the message ends.
    """
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"{what}: got {type(error).__name__} ({said}), expected {expected}; {remedy}") from error


_KINDS = {  # where an argument of a class comes from
    "Agent": "fit(task, config) and load_agent(name) give one",
    "Config": "preset('laptop') gives one",
    "Exhibit": "open_exhibit(folder) and Exhibit.of(agent, task) give one",
    "Task": "parse_task('cube-single-play-task2') and custom_task give one",
}


def check_kinds(**arguments: tuple[Any, type]) -> None:
    """Raise UserError for arguments, by name, that are not of the class beside them."""
    for name, (given, kind) in arguments.items():
        if not isinstance(given, kind):
            got = repr(given) if isinstance(given, str | int | float) or given is None else type(given).__name__
            raise UserError(f"{name}: got {got}, expected {kind.__name__}; {_KINDS[kind.__name__]}")
