"""Own source code: the parsed code of a function, and what it reads from outside of itself."""

import ast
import dis
import functools
import importlib
import importlib.util
import linecache
import sys
import types
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from typing import Any

from evor_eqx.errors import UserError
from evor_eqx.system.library_code import is_foreign, is_library_function, is_own_class, is_own_module

# Globals of every module that say where it is.
_OF_MODULE = {"__name__", "__qualname__", "__file__", "__doc__", "__package__", "__spec__", "__loader__", "__cached__"}
_OF_MODULE |= {"__path__", "__builtins__", "__annotations__"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NO_CODE = {"type_comment", "kind", "type_params", "ctx"}  # parts of parsed code that change nothing
_FAR = 10**6  # a line that no file has


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function and of those defined inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def names_read(function: types.FunctionType, node: ast.AST) -> Iterator[tuple[str, Any]]:
    """What a function reads from outside of itself, by name. Of own modules only the attributes that are used.

    **Arguments:**

    - `function`: the function.
    - `node`: its parsed code.
    """
    names = {name for code in codes(function.__code__) for name in code.co_names} - _OF_MODULE
    scope = {name: [function.__globals__[name]] for name in names & function.__globals__.keys()}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        scope[name] = [_content(cell)]
        if name == "__class__":  # of `super()`
            yield name, _content(cell)
    for name, module in _imports(node, function.__globals__.get("__package__")):
        scope.setdefault(name, []).append(module)

    nodes = list(ast.walk(node))
    read = [each for each in nodes if isinstance(getattr(each, "ctx", None), ast.Load)]
    read += [each.target for each in nodes if isinstance(each, ast.AugAssign)]
    owners = [each.value for each in read if isinstance(each, ast.Attribute)]
    taken_apart = {id(each) for each in owners if any(map(is_own_module, _values(each, scope)))}
    for each in read:
        if id(each) not in taken_apart and isinstance(each, ast.Name | ast.Attribute):
            yield from ((ast.unparse(each), value) for value in _values(each, scope))


def _values(node: ast.AST, scope: dict[str, list[Any]]) -> list[Any]:
    """The values of a name, or of attributes of modules. In a foreign module only what the user put there counts."""
    if isinstance(node, ast.Name):
        return scope.get(node.id, [])
    if not isinstance(node, ast.Attribute):
        return []
    values = []
    for owner in _values(node.value, scope):
        if is_own_module(owner):
            values.append(getattr(owner, node.attr, None))
        elif isinstance(owner, types.ModuleType):
            value = vars(owner).get(node.attr)
            is_put_there = isinstance(value, types.FunctionType) and not is_library_function(value)
            is_put_there = is_put_there or (isinstance(value, type) and is_own_class(value))
            values += [value] if is_put_there or isinstance(value, types.ModuleType) else []
    return values


def _imports(node: ast.AST, package: str | None) -> Iterator[tuple[str, Any]]:
    """What a function imports from own modules when it runs, by the local name."""
    for each in ast.walk(node):
        if isinstance(each, ast.Import):
            for alias in each.names:
                module = _imported(alias.name, package)
                if module is not None:
                    top = alias.name.partition(".")[0]
                    yield (alias.asname, module) if alias.asname else (top, sys.modules[top])
        elif isinstance(each, ast.ImportFrom):
            name = "." * each.level + (each.module or "")
            module = _imported(name, package)
            for alias in each.names if module is not None else ():
                if not hasattr(module, alias.name):
                    _imported(f"{name}{'' if name.endswith('.') else '.'}{alias.name}", package)
                yield alias.asname or alias.name, getattr(module, alias.name, None)


def _imported(name: str, package: str | None) -> types.ModuleType | None:
    """An own module that code imports when it runs; None if there is none, and for a foreign one."""
    try:
        full = importlib.util.resolve_name(name, package)
        return None if is_foreign(full) else importlib.import_module(full)
    except ImportError:
        return None


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def node_of(function: types.FunctionType) -> ast.AST | None:
    """The parsed code of a function, from its file or from the cell of a notebook; None if there is none.

    Raises UserError if the file was changed after the function was imported from it.
    """
    code, line = function.__code__, function.__code__.co_firstlineno
    linecache.checkcache(code.co_filename)
    source = "".join(linecache.getlines(code.co_filename, function.__globals__))
    try:
        functions = _functions(source)
    except (SyntaxError, ValueError):
        return None
    if source and type(function.__globals__.get("__loader__")) is SourceFileLoader:
        named = _compiled(source, code.co_filename).get(code.co_qualname, ())
        alike = [each for each in named if _does(each) == _does(code)]
        if not alike:
            raise UserError(
                f"{code.co_filename} was changed after {function.__qualname__} was imported from it, expected the "
                "code that runs; restart, or reload the module"
            )
        line = min((each.co_firstlineno for each in alike), key=lambda found: abs(found - line))
    found = [node for node in functions.get(line, ()) if _is_named(node, code.co_name)]
    if len(found) > 1:
        found = _same_lambdas(source, line, code)
    return found[0] if found else None


@functools.lru_cache(64)
def _functions(source: str) -> dict[int, list[Any]]:
    """All functions by their first lines, without docstrings, and without annotations outside of classes."""
    tree, functions = ast.parse(source), {}
    fields = {id(each) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for each in node.body}
    for node in ast.walk(tree):
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        if isinstance(node, _FUNCTIONS):
            node.returns = None
        elif isinstance(node, ast.arg) or (isinstance(node, ast.AnnAssign) and id(node) not in fields):
            node.annotation = None  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            functions.setdefault(_begins(node), []).append(node)
    return functions


@functools.lru_cache(64)
def _compiled(source: str, filename: str) -> dict[str, list[types.CodeType]]:
    """All code by its qualified names."""
    compiled: dict[str, list[types.CodeType]] = {}
    for each in codes(compile(source, filename, "exec", dont_inherit=True)):
        compiled.setdefault(each.co_qualname, []).append(each)
    return compiled


def _same_lambdas(source: str, line: int, code: types.CodeType) -> list[ast.AST]:
    """Those of several lambdas in a line that do what code does."""
    tree = ast.parse(source)
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda) and node.lineno == line]
    for place, lambda_node in enumerate(found, 1):  # each goes to lines of its own, by which its code is known below
        for node in ast.walk(lambda_node):
            if isinstance(node, ast.expr | ast.arg):
                lines = (line % _FAR + place * _FAR for line in (node.lineno, node.end_lineno or node.lineno))
                node.lineno, node.end_lineno = lines
    compiled = codes(compile(tree, code.co_filename, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True))
    does = {each.co_firstlineno: _does(each) for each in compiled}
    return [node for node in found if does.get(node.lineno) == _does(code)]


def _does(code: types.CodeType) -> Any:
    """What code does, wherever it stands in its file."""
    return code.co_qualname, *((each.opname, _constant(each.argval)) for each in dis.get_instructions(code))


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _does(value)
    return ("frozenset", *sorted(map(repr, value))) if isinstance(value, frozenset) else plain_text(value)


def _begins(node: Any) -> int:
    return min(each.lineno for each in (node, *getattr(node, "decorator_list", ())))


def _is_named(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Lambda) if name == "<lambda>" else isinstance(node, _FUNCTIONS) and node.name == name


def plain_code(node: ast.AST) -> tuple[str, ...]:
    """Parsed code as texts, without places and what is empty. It is the same in all versions of Python."""
    texts, left = [], [node]
    while left:
        each: Any = left.pop()
        if isinstance(each, ast.AST):
            fields = {name: value for name, value in ast.iter_fields(each) if value not in (None, [])}
            names = sorted(fields.keys() - _NO_CODE)
            texts.append(f"{type(each).__name__} {names}")
            left += [fields[name] for name in reversed(names)]
        elif isinstance(each, list):
            texts.append(f"list {len(each)}")
            left += reversed(each)
        else:
            texts.append(f"{type(each).__name__} {plain_text(each)}")
    return tuple(texts)


def plain_text(value: Any) -> str:
    """Text that tells a constant from all others of its type."""
    return hex(value) if type(value) is int else repr(value)  # there are integers that are too long for decimals
