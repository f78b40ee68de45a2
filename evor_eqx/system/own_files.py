"""FILE:NAME: something of your own from a Python file, for the command line and for names of tasks.

A file is executed once in a process, under its own name as a module, so that what it registers counts. Its folder joins
the places that imports are looked up in, as for a script. Worker processes need not find the file: what it defines
travels to them by value.
"""

import contextlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from evor_eqx.errors import UserError
from evor_eqx.system.library_code import is_library_file

Kind = TypeVar("Kind")
_SPELLING = re.compile(r".+\.py(:.*)?", re.DOTALL)
_results: WeakKeyDictionary[ModuleType, dict[str, Any]] = WeakKeyDictionary()  # of functions, which may record data


def is_own(name: str) -> bool:
    """Whether a name is of the form FILE.py:NAME, or means to be: NAME may be missing or wrong."""
    return _SPELLING.fullmatch(name) is not None


def split(name: str) -> tuple[Path, str]:
    """The file and the name in it of FILE.py:NAME. Raises UserError if there is no name, or one that cannot be."""
    file, _, attribute = name.rpartition(":")
    if not attribute.isidentifier():
        raise UserError(f"{name}: got no name of anything in a file, expected FILE.py:NAME; add the name")
    return Path(file), attribute


def load(name: str, kind: type[Kind], what: str) -> Kind:
    """The object of a name FILE.py:NAME, or what it returns if it is a function.

    **Arguments:**

    - `name`: FILE.py:NAME.
    - `kind`: the class that the object must have.
    - `what`: what it is called in errors, e.g. task.

    **Raises:**

    UserError if there is no such file or name, if the file cannot be executed, and for an object of another class.
    """
    file, attribute = split(name)
    module = execute(file)
    if not hasattr(module, attribute):
        own = [each for each, value in vars(module).items() if _is_offered(value, kind, module)]
        has = ", ".join(own) or "nothing of its own"
        raise UserError(f"{file} has no {attribute!r}: expected a {what}, or a function; it has {has}; check the name")
    found = getattr(module, attribute)
    if not isinstance(found, kind) and callable(found):
        results = _results.setdefault(module, {})
        if attribute not in results:
            with _errors_told(name):
                results[attribute] = found()
        found = results[attribute]
    if not isinstance(found, kind):
        raise UserError(f"{name}: got {type(found).__name__}, expected a {what}, or a function that makes one; mend it")
    return found


def execute(file: Path) -> ModuleType:
    """Execute a Python file as a module of its own name, once in a process. Raises UserError as `load` does."""
    path = _path_of(file)
    name = re.sub(r"\W", "_", path.stem)
    for known in (sys.modules.get(name), sys.modules.get("__main__")):  # also the script that runs
        if known is not None and getattr(known, "__file__", None) and Path(str(known.__file__)).resolve() == path:
            return known
    if name in sys.modules or _found_elsewhere(name, path):
        raise UserError(f"{file}: there is another module {name!r}, expected a name of its own; rename the file")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        with _errors_told(str(file)):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        with contextlib.suppress(ValueError):  # the file may have removed it
            sys.path.remove(str(path.parent))
        raise
    _travels_by_value(module)
    return module


def _path_of(file: Path) -> Path:
    """The whole path of a file. Raises UserError if there is no such file, or none that may be seen."""
    try:
        path = file.expanduser().resolve()
        is_file = path.is_file()
    except (OSError, RuntimeError, ValueError):  # no such user, a name that is too long, or no right to see it
        path, is_file = file, False
    if not is_file:
        raise UserError(f"no file {file}: expected a Python file; check its name and folder")
    return path


def _is_offered(value: Any, kind: type, module: ModuleType) -> bool:
    return isinstance(value, kind) or getattr(value, "__module__", None) == module.__name__


@contextlib.contextmanager
def _errors_told(name: str) -> Iterator[None]:
    """Turn an error of the user's own code into a UserError, also if the code wants to leave the program."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(name, error) from error


def _found_elsewhere(name: str, path: Path) -> bool:
    """Whether an import of this name would find something else than the file."""
    spec = importlib.util.find_spec(name)
    return spec is not None and (spec.origin is None or Path(spec.origin).resolve() != path)


def _failed(name: str, error: BaseException) -> UserError:
    """An error in the user's own code: the last line of that code that was running, and what the error says."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not (frame.filename.startswith("<") or _is_library(frame.filename))]
    last = (own or frames)[-1]
    place = f", line {last.lineno} of {last.filename}"
    if isinstance(error, SyntaxError) and error.filename is not None:
        place = f", line {error.lineno} of {error.filename}"
    said = str(error).partition("\n")[0]
    return UserError(f"{name}: got {type(error).__name__} ({said}){place}, expected it to run; mend it")


def _is_library(filename: str) -> bool:
    return is_library_file(filename) or Path(__file__).parents[1] in Path(filename).parents


def _travels_by_value(module: ModuleType) -> None:
    import cloudpickle  # a dependency of gymnasium

    cloudpickle.register_pickle_by_value(module)
