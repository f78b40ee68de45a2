"""FILE:NAME: something of your own from a Python file, for the command line and for names of tasks.

A file is executed under its own name as a module, so that what it registers counts: once in a process, and again after
it was changed. Its folder joins the places that imports are looked up in, as for a script. Worker processes need not
find the file: what it defines travels to them by value. What it imports from its folder they import by its name, so no
two files may mean different neighbours by one name.
"""

import ast
import contextlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from evor_eqx.errors import UserError
from evor_eqx.system.library_code import is_library_file

Kind = TypeVar("Kind")
_SPELLING = re.compile(r".+\.py(:.*)?", re.DOTALL)
_results: WeakKeyDictionary[ModuleType, dict[str, Any]] = WeakKeyDictionary()  # of functions, which may record data
_executed: dict[str, bytes] = {}  # what each file contained when it was executed, by the module's name
_neighbours: dict[str, Path] = {}  # modules in the folders of executed files that these import, by name


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
    """Execute a Python file as a module of its own name, unless it was. Raises UserError as `load` does."""
    path = _path_of(file)
    name, content = re.sub(r"\W", "_", path.stem), path.read_bytes()
    for place in ("__main__", name):  # also the script that runs
        known = sys.modules.get(place)
        if known is None or Path(str(getattr(known, "__file__", None))).resolve() != path:
            continue
        if _executed.get(place, content) == content:
            return known
        del sys.modules[place]
    if name in sys.modules or _found_elsewhere(name, path):
        raise UserError(f"{file}: there is another module {name!r}, expected a name of its own; rename the file")
    neighbours = _with_neighbours(file, path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name], _executed[name] = module, content
    places = list(sys.path)
    if str(path.parent) not in places:
        sys.path.insert(0, str(path.parent))
    try:
        with _errors_told(str(file)):
            exec(compile(content, path, "exec"), vars(module))  # not by its loader, which may find an older version
    except BaseException:
        for known in (sys.modules, _executed):
            known.pop(name, None)
        sys.path[:] = places
        raise
    _neighbours.update(neighbours)
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


def _with_neighbours(file: Path, path: Path) -> dict[str, Path]:
    """All known neighbours, and those that a file and its neighbours import.

    Raises UserError where an import, here or in a worker process, would find another module of the name.
    """
    found, left = dict(_neighbours), [path]
    while left:
        for name, neighbour in _imported_neighbours(left.pop()):
            if name not in found:
                found[name] = neighbour
                left.append(neighbour)
            elif found[name] != neighbour:
                raise _two_of_one_name(file, neighbour, found[name])
    for name, neighbour in found.items():
        spec = PathFinder.find_spec(name, [str(path.parent), *sys.path])
        if spec is not None and spec.origin is not None and Path(spec.origin).resolve() != neighbour:
            raise _two_of_one_name(file, Path(spec.origin), neighbour)
    return found


def _two_of_one_name(file: Path, one: Path, other: Path) -> UserError:
    return UserError(
        f"{file}: got {one} and {other}, which have one name for imports, expected one module of a name in a process; "
        "rename one of them"
    )


def _imported_neighbours(path: Path) -> Iterator[tuple[str, Path]]:
    """The modules in a file's folder that its code imports: names and files."""
    try:
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
    except (SyntaxError, ValueError, OSError):  # executing it tells what is wrong
        return
    named = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    named += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    for name in sorted({each.partition(".")[0] for each in named}):
        for neighbour in (path.parent / f"{name}.py", path.parent / name / "__init__.py"):
            if neighbour.is_file():
                yield name, neighbour
                break


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
