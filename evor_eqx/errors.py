"""The one error that a user can cause: what was wrong, what was got, what was expected, what to do.

The command line prints its message on one line and leaves with exit code 2; everything else that is raised is a bug.
"""

import contextlib
from collections.abc import Iterator


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
    except Exception as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"{what}: got {type(error).__name__} ({said}), expected {expected}; {remedy}") from error
