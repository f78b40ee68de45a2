"""The command line as a function."""

import pytest

from evor_eqx.cli.main import main


@pytest.fixture
def evor(capsys):
    """Run the command with some arguments; returns its exit code, what it printed, and what it said on stderr."""

    def run(*arguments):
        try:
            code = main(arguments)
        except SystemExit as stop:  # tyro leaves this way after help
            code = stop.code
        output = capsys.readouterr()
        return code, output.out, output.err

    return run
