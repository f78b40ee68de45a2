"""The one error that a user can cause: what was wrong, what was got, what was expected, what to do.

The command line prints its message on one line and leaves with exit code 2; everything else that is raised is a bug.
"""


class UserError(ValueError):
    """Input or environment that the user can mend: unknown task, wrong range, missing or damaged file."""
