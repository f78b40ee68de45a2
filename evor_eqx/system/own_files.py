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
import threading
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
_one_at_a_time = threading.RLock()  # a file may load another
_results: WeakKeyDictionary[ModuleType, dict[str, Any]] = WeakKeyDictionary()  # of functions, which may record data
_sources: dict[Path, bytes] = {}  # what executed files and their neighbours contained
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
    with _one_at_a_time:  # a file imports its neighbours by sys.path, which is put back if it fails
        return _execute(file)


def _execute(file: Path) -> ModuleType:
    path = _path_of(file)
    name, neighbours = re.sub(r"\W", "_", path.stem), _reached(path)
    sources = {each: each.read_bytes() for each in (path, *neighbours.values()) if each.is_file()}
    is_current = all(_sources.get(each, content) == content for each, content in sources.items())
    for place in ("__main__", name):  # also the script that runs
        known = sys.modules.get(place)
        if known is None or Path(str(getattr(known, "__file__", None))).resolve() != path:
            continue
        if is_current:
            return known
        del sys.modules[place]
    if name in sys.modules or _found_elsewhere(name, path):
        raise UserError(f"{file}: there is another module {name!r}, expected a name of its own; rename the file")
    _check_names(file, path, neighbours)
    for module in list(sys.modules) if not is_current else ():
        if module.partition(".")[0] in neighbours:
            del sys.modules[module]
    return _new_module(file, path, name, sources, neighbours)


def _new_module(
    file: Path, path: Path, name: str, sources: dict[Path, bytes], neighbours: dict[str, Path]
) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    before, places = dict(_sources), list(sys.path)
    sys.modules[name] = module
    _sources.update(sources)
    if str(path.parent) not in places:
        sys.path.insert(0, str(path.parent))
    importlib.invalidate_caches()
    try:
        with _errors_told(str(file)):
            exec(compile(sources[path], path, "exec"), vars(module))  # not by its loader, which may find an old version
    except BaseException:
        sys.modules.pop(name, None)
        _sources.clear()
        _sources.update(before)
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


def _reached(path: Path) -> dict[str, Path]:
    """The modules in its folder that a file imports, and those that they import."""
    found: dict[str, Path] = {}
    left = [path]
    while left:
        new = {name: each for name, each in _imported_neighbours(left.pop()) if name not in found}
        found |= new
        left += [each for each in new.values() if each.is_file()]
    return found


def _check_names(file: Path, path: Path, neighbours: dict[str, Path]) -> None:
    """Raise UserError where an import, here or in a worker process, would find another module of a neighbour's name."""
    for name, neighbour in neighbours.items():
        if _neighbours.get(name, neighbour) != neighbour:
            raise _two_of_one_name(file, neighbour, _neighbours[name])
    for name, neighbour in (_neighbours | neighbours).items():
        spec = PathFinder.find_spec(name, [str(path.parent), *sys.path])
        places = [] if spec is None else [spec.origin] if spec.origin else spec.submodule_search_locations or []
        for place in map(Path, filter(None, places)):
            if place.resolve() != neighbour:
                raise _two_of_one_name(file, place, neighbour)


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
        folder = path.parent / name
        found = [file for file in (folder.with_suffix(".py"), folder / "__init__.py") if file.is_file()]
        if found or any(folder.glob("*.py")):  # a folder of modules may be without an __init__.py
            yield name, (found or [folder])[0]


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
