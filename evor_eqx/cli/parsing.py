"""What is read from a command line before tyro reads the rest, and how tyro reads a `Config`.

`FILE.py:NAME`, `--preset` and `--critic` are read first, because they decide which settings there are and where they
start. The files are executed, so that what they register counts. Then tyro parses the command, with that preset's
configuration of that critic. So a command has exactly the chosen critic's own settings as flags.
"""

import contextlib
import inspect
import io
import itertools
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from evor_eqx.config import Config, CriticConfig
from evor_eqx.critics.registry import critic_names
from evor_eqx.errors import UserError
from evor_eqx.presets import PRESETS, preset
from evor_eqx.system import own_files

if TYPE_CHECKING:
    PresetName = str
else:
    PresetName = tyro.extras.literal_type_from_choices(PRESETS)
TaskName = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="TASK")]]

_HELP = {
    "preset": "How much data and training: smoke (under a minute), laptop (minutes on two cores) or paper (a million "
    "updates). All other settings start from it.",
    "critic": "The representation of the return distribution. It decides which critic settings there are.",
    "gamma": "Discount per environment step, 0 to 0.99999; that of the task if not given.",
    "num_devices": "Devices (GPUs) that each batch of a training is spread over; 1 to 8.",
}
_KINDS: dict[str, Any] = {"gamma": float | None}  # of fields that have no value to tell it
_REGISTERED = ("--critic", "--critic.target")  # flags whose values are registered names
PRESET, CRITIC = "laptop", "flow"  # where no flag names others
_one_at_a_time = threading.Lock()
NO_EXPERIMENT = Config(critic=CriticConfig())  # for commands that are only listed: no critic's class, and so no JAX


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What the commands with an experiment's settings have in common."""

    config: Annotated[Config, tyro.conf.arg(name="")]


def parse(commands: Mapping[str, type], arguments: Sequence[str], description: str | None = None) -> Any:
    """Make the command that the arguments describe.

    **Arguments:**

    - `commands`: the commands' classes by name.
    - `arguments`: the command's name and what follows it. FILE.py:NAME is a task of your own where a task is
      expected; elsewhere it is a name that the file registers.
    - `description`: what `evor --help` says first.

    **Returns:**

    An instance of one of the classes.

    **Raises:**

    UserError for arguments that cannot be understood, and SystemExit after help was printed.
    """
    name = arguments[0] if arguments else ""
    program = f"evor {name}" if name in commands else "evor"
    with _help_named(program):
        if name and not name.startswith("-") and name not in commands:
            raise UserError(f"unknown command {name!r}: expected one of {', '.join(commands)}")
        if name in commands:
            arguments = list(_with_own_files(arguments))
        registry = ConstructorRegistry()
        registry.struct_rule(_experiment_flags)
        if name not in commands:
            with registry, _errors_in_one_line():
                return tyro.extras.subcommand_cli_from_dict(
                    {each: _with_start(command, NO_EXPERIMENT) for each, command in commands.items()},
                    args=list(arguments),
                    prog=program,
                    description=description,
                )
        command = _with_start(commands[name], _start(commands[name], arguments))
        with registry, _errors_in_one_line():
            return tyro.cli(command, args=list(arguments[1:]), prog=program)


def check(command: Any) -> None:
    """Raise UserError for values of options that cannot be. It is called before a command does anything."""
    if hasattr(command, "check"):
        with _help_named(f"evor {type(command).__name__.lower()}"):
            command.check()


@contextlib.contextmanager
def _help_named(program: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}; see `{program} --help`") from error


def last_value(arguments: Sequence[str], flag: str, default: str) -> str:
    """The value of a flag, given as `--flag value` or `--flag=value`; the last one counts, as it does for tyro."""
    value = default
    for argument, following in itertools.pairwise([*arguments, default]):
        if argument == flag:
            value = following
        elif argument.startswith(f"{flag}="):
            value = argument.removeprefix(f"{flag}=")
    return value


def check_critic_settings(arguments: Sequence[str], critic: CriticConfig) -> None:
    """Raise UserError for a setting `--critic....` that the critic does not have; the message lists those it has."""
    flags = dict(_flags("--critic", critic))
    switches = {_negated(flag) for flag, value in flags.items() if isinstance(value, bool)}
    for argument in arguments:
        flag = argument.partition("=")[0].replace("_", "-")
        if flag.startswith("--critic.") and flag not in flags and flag not in switches:
            raise UserError(
                f"the critic {critic.kind} has no setting {flag}: expected some of {', '.join(flags)}; --critic NAME "
                "chooses another critic"
            )


def _with_own_files(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments after the files in them were executed. The file of a critic, target or method is taken off."""
    flag = ""
    for argument in arguments:
        value = argument
        if argument.startswith("--"):
            flag, _, value = argument.partition("=")
        if own_files.is_own(value):
            file, name = own_files.split(value)
            own_files.execute(file)
            argument = argument.replace(value, name) if flag in _REGISTERED else argument
        if flag in _REGISTERED and (not argument.startswith("--") or "=" in argument):
            flag = ""  # these take one value
        yield argument


def _start(command: type, arguments: Sequence[str]) -> Config:
    """The configuration that a command's settings start from. This loads the critic's class, which loads JAX."""
    if not issubclass(command, Experiment):
        return NO_EXPERIMENT
    _check_folder(arguments)
    critic = last_value(arguments, "--critic", CRITIC)
    start = preset(last_value(arguments, "--preset", PRESET), critic=critic)
    check_critic_settings(arguments, start.critic)
    return start


def _check_folder(arguments: Sequence[str]) -> None:
    """Raise UserError for a folder that is not there, and for settings of generated data beside a folder of files."""
    given = {argument.partition("=")[0].replace("_", "-") for argument in arguments}
    if "--data.folder" not in given:
        return
    folder = last_value(arguments, "--data.folder", "")
    if not folder or not Path(folder).is_dir():
        raise UserError(f"--data.folder: got {folder!r}, expected a folder that is there; check its name")
    if others := sorted(given & {"--data.num-episodes", "--data.seed"}):
        raise UserError(
            f"--data.folder: got {' and '.join(others)} with it, expected one of the two, because all files of a "
            "folder are taken as they are; leave one of them out"
        )


def _with_start(command: type, start: Config) -> Callable[..., Any]:
    return partial(command, config=start) if issubclass(command, Experiment) else command


def _flags(prefix: str, settings: Any) -> Iterator[tuple[str, Any]]:
    """The flags of a dataclass and of those inside of it, as tyro names them, with their values."""
    for each in fields(settings):
        flag, value = f"{prefix}.{each.name.replace('_', '-')}", getattr(settings, each.name)
        if is_dataclass(value):
            yield from _flags(flag, value)
        else:
            yield flag, value


def _negated(flag: str) -> str:
    """The flag that switches another one off: --critic.train.no-decay for --critic.train.decay."""
    group, _, name = flag.rpartition(".")
    return f"{group}.no-{name}"


def _experiment_flags(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A tyro rule: a `Config` is read by `--preset` and `--critic` and by its fields, whose types are those of the
    start. So the critic's fields are those of its own class."""
    if info.type is not Config:
        return None
    start = info.default
    critic = Annotated[tyro.extras.literal_type_from_choices(critic_names()), tyro.conf.arg(name="critic")]
    leading = (
        StructFieldSpec("preset", PresetName, start.preset, _HELP["preset"]),
        StructFieldSpec("critic_name", critic, start.critic.kind or CRITIC, _HELP["critic"]),  # type: ignore[arg-type]
    )
    others = [
        StructFieldSpec(each.name, _KINDS.get(each.name, type(value)), value, _about(each.name, value))
        for each in fields(Config)
        if each.name != "preset"
        for value in [getattr(start, each.name)]
    ]
    return StructConstructorSpec(lambda critic_name, **values: Config(**values), (*leading, *others))


def _about(name: str, value: Any) -> str | None:
    """What a flag is, or a group of flags: its docstring, without the sentence that sends readers to these flags."""
    if not is_dataclass(value):
        return _HELP.get(name)
    return inspect.cleandoc(type(value).__doc__ or "").replace(" `evor train --help` explains each field.", "")


@contextlib.contextmanager
def _errors_in_one_line() -> Iterator[None]:
    """Raise a UserError with the first part of the box in which tyro says what it cannot parse."""
    box = io.StringIO()
    try:
        with _one_at_a_time, contextlib.redirect_stderr(box):  # tyro prints to sys.stderr, wherever that leads
            yield
    except SystemExit as stop:
        if stop.code != 2:
            raise
        raise UserError(_first_part(box.getvalue())) from None
    sys.stderr.write(box.getvalue())


def _first_part(box: str) -> str:
    """What stands between the title of tyro's box and the next ruled or empty line, without the frame."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)  # a terminal gets colours
    title, *rows = [line.strip("│╭╮╰╯ ") for line in plain.rpartition("╭")[2].splitlines()]
    rows = itertools.dropwhile(_is_ruled, rows)  # where a terminal has no lines to draw with, one is below the title
    text = " ".join(itertools.takewhile(lambda row: not _is_ruled(row), rows)) or title
    return " ".join(text.removeprefix("Error parsing ").removeprefix("config.").rstrip(".").split())


def _is_ruled(row: str) -> bool:
    return not row.strip("─-")
