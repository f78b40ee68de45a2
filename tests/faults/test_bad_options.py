"""Nonsense for every option of every command: refused in one line that names the help, before anything is done."""

import contextlib
import re

import pytest

from evor_eqx.cli.main import COMMANDS, main

NONSENSE = ["", "  ", "nan", "inf", "-1", "1e30", "0.5.5", "None", "abc", "/no/such/path", "ünï☃", "1;2"]
TASK = "pointmaze-medium-navigate-task1"
# What a command needs beside the option.
BESIDE = {name: [TASK] for name in ("data", "train", "evaluate", "pack")}
BESIDE |= {"study": ["small"], "expert": ["ant"], "export": ["rollout"]}
# What has a meaning after all: the name of a file may be strange, a temperature infinite.
MEANINGFUL = {"--to": NONSENSE, "--json": NONSENSE, "--minutes": ["inf", "1e30", "None"]}
TEMPERATURES = (
    "--tau-r",
    "--tau-q",
    "--inference.tau-r",
    "--inference.tau-q",
    "--critic.next-tau-r",
    "--critic.next-tau-q",
)
MEANINGFUL |= {flag: ["inf", "1e30"] for flag in TEMPERATURES}
OPTIONAL = ("--data.num-episodes", "--episodes-of-data", "--num-episodes", "--num-workers", "--gamma")
MEANINGFUL |= {flag: ["None"] for flag in OPTIONAL}
MEANINGFUL["--preset"] = [""]  # of a study: as the named one


class Begun(Exception):
    """The command would do something now."""


def options(name: str, capsys) -> list[str]:
    """The flags in a command's help."""
    with contextlib.suppress(SystemExit):
        main([name, "--help"])
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    return sorted(set(re.findall(r"(?<![\w`-])(--[a-z][\w.-]*)", text)) - {"--help"})


@pytest.mark.fault
@pytest.mark.parametrize("name", COMMANDS)
def test_nonsense_is_refused_in_one_line_that_names_the_help(name, home, monkeypatch, capsys):
    def begin(self):
        raise Begun

    monkeypatch.chdir(home)
    monkeypatch.setattr(COMMANDS[name], "run", begin)
    num_refused = 0
    for flag in options(name, capsys):
        for value in NONSENSE:
            arguments = [name, *BESIDE.get(name, []), flag, value]
            try:
                code = main(arguments)
            except Begun:
                assert value in MEANINGFUL.get(flag, ()), f"{arguments} was accepted"
                continue
            said = capsys.readouterr().err
            assert code == 2 and said.count("\n") == 1 and "--help" in said, (arguments, code, said)
            num_refused += 1
    assert num_refused or name in ("runs", "doctor")


@pytest.mark.fault
@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("value", NONSENSE)
def test_a_nonsensical_name_is_refused_in_one_line_that_names_the_help(name, value, home, monkeypatch, capsys):
    monkeypatch.setattr(COMMANDS[name], "run", lambda self: pytest.fail("it was accepted"))
    assert main([name, value]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"see `evor {name} --help`" in said
