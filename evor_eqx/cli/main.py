"""`evor COMMAND`: data, trainings, evaluations, figures and studies from the command line.

Exit codes: 0, done. 1, a figure or a job failed. 2, bad input, with one line that says what to do. 130 and 143, stopped
by SIGINT (Ctrl-C) or SIGTERM. A training stops at the end of its block and is saved there. A second signal stops it at
once. The same command goes on from what was saved.
"""

import io
import os
import signal
import sys
from collections.abc import Sequence

from evor_eqx.cli.bench import Bench
from evor_eqx.cli.course import Course
from evor_eqx.cli.data import Data
from evor_eqx.cli.doctor import Doctor
from evor_eqx.cli.evaluate import Evaluate
from evor_eqx.cli.expert import Expert
from evor_eqx.cli.explore import Explore
from evor_eqx.cli.export import Export
from evor_eqx.cli.figures import Figures
from evor_eqx.cli.pack import Pack
from evor_eqx.cli.parsing import check, parse
from evor_eqx.cli.runs import Runs
from evor_eqx.cli.study import Study
from evor_eqx.cli.suite import Suite
from evor_eqx.cli.train import Train
from evor_eqx.errors import UserError
from evor_eqx.system import paths
from evor_eqx.system.arithmetic import ignore_settings
from evor_eqx.system.os_errors import sentence
from evor_eqx.system.processes import remove_abandoned_folders
from evor_eqx.system.signals import sigterm_as_interrupt

COMMANDS = {
    "data": Data,
    "train": Train,
    "evaluate": Evaluate,
    "suite": Suite,
    "study": Study,
    "expert": Expert,
    "explore": Explore,
    "export": Export,
    "figures": Figures,
    "course": Course,
    "pack": Pack,
    "runs": Runs,
    "bench": Bench,
    "doctor": Doctor,
}
_EXTRAS: dict[object, str] = {Figures: "notebooks", Course: "docs", Bench: "bench", Study: "workflow"}
_DRAWING = {"", "egl", "osmesa", "glfw", "glx", "wgl", "cgl"}  # and switches, as MuJoCo reads them
_DRAWING |= {"disable", "disabled", "off", "false", "no", "0", "enable", "enabled", "on", "true", "yes", "1"}
_COMPUTING = (Train, Evaluate, Suite, Expert, Pack, Bench)  # these compile programs in this process


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the `evor` command; returns the exit code."""
    try:
        _prepare()
    except UserError as error:
        print(f"evor: {error}", file=sys.stderr)
        return 2
    try:
        try:
            return _run(arguments)
        finally:
            _flush()  # here, not when Python ends, where it would say that a reader has left
    except BrokenPipeError:  # who reads the output has enough of it, as in `evor runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _run(arguments: Sequence[str] | None) -> int:
    command = None
    try:
        command = parse(COMMANDS, sys.argv[1:] if arguments is None else arguments, __doc__)
        check(command)
        if isinstance(command, _COMPUTING):
            _keep_compiled()
        with sigterm_as_interrupt():
            return command.run()
    except BrokenPipeError:
        raise
    except (UserError, OSError) as error:  # OSError: a full disk, a folder that must not be written to
        print(f"evor: {sentence(error) if isinstance(error, OSError) else error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(type(command))
        if extra is None:
            raise
        print(f"evor: this command needs {error.name}: pip install 'evor_eqx[{extra}]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        said = str(stop) or "interrupted, what was saved is kept"
        print(f"evor: {said}; the same command goes on from there", file=sys.stderr)
        return 128 + getattr(stop, "signum", signal.SIGINT)


def _prepare() -> None:
    """Keep the surroundings out: settings of JAX that change numbers, modules that lie in the working folder.

    What cannot be written to the output is replaced, such as bullets where it only takes ASCII.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started it
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    paths.check_home()
    drawing = os.environ.get("MUJOCO_GL", "").lower()
    if drawing not in _DRAWING:
        print(f"evor: MUJOCO_GL={drawing} is ignored, because MuJoCo knows no such way to draw", file=sys.stderr)
        del os.environ["MUJOCO_GL"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    for name in ignore_settings():
        print(f"evor: {name} is ignored, because results would not be those of the configuration", file=sys.stderr)
    remove_abandoned_folders()
    os.environ["PYTHONSAFEPATH"] = "1"  # of processes that are started: a random.py of yours is not theirs
    try:
        os.getcwd()
    except FileNotFoundError:  # removed by another
        os.chdir("/")
    if "MPLCONFIGDIR" not in os.environ and not os.access(os.path.expanduser("~"), os.W_OK):
        os.environ["MPLCONFIGDIR"] = str(paths.home() / ".cache" / "matplotlib")


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python says it again when it ends
        raise SystemExit(f"evor: the output cannot be written ({error.strerror}); what was made is kept") from None


def _keep_compiled() -> None:
    """Use JAX's store of compiled programs. This loads JAX."""
    from evor_eqx.training.compilation import keep_compiled

    keep_compiled()


if __name__ == "__main__":
    sys.exit(main())
