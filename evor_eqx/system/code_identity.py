"""The identity of own code: a digest of what a function or class does, and of everything that it reaches.

A result that was made by own code is found again by this digest. So it must change with every number in that code, and
with nothing else: parsed code is compared, without comments and docstrings. What belongs to the standard library, to an
installed package or to this package counts by its name only. What is looked up by a text, such as `globals()["x"]`, is
not seen.
"""

import copyreg
import functools
import hashlib
import inspect
import itertools
import pickle
import sys
import types
import typing
import weakref
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, TypeVar

import numpy as np

from evor_eqx.errors import UserError
from evor_eqx.system import library_code as library
from evor_eqx.system.source_code import names_read, node_of, plain_code, plain_text

_versions: dict[int, tuple[Any, str]] = {}  # by id; as an attribute, functools.wraps would copy it to other functions
_digests: dict[int, tuple[Any, str]] = {}  # of functions and classes, by their id
Thing = TypeVar("Thing")
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented), range, PurePath)


def versioned(thing: Thing, version: str | None) -> Thing:
    """Give a function or a class a version, which from then on stands for its code in the identity of runs.

    So raise it with each change that matters. It is any text; with None the code counts again. Returns `thing`.
    """
    _versions.pop(id(thing), None)
    if version is not None:
        _versions[id(thing)] = thing, str(version)
    return thing


def code_digest(thing: Any, what: str) -> str:
    """Twelve hexadecimal characters that identify a function, class or object by its code and the values it reaches.

    **Arguments:**

    - `thing`: the function, class or object.
    - `what`: what it is called in errors, e.g. critic 'laplace'.

    **Raises:**

    UserError for something without source code that is not plain data, such as an object of a C extension.
    """
    digest = _hash(_Walk(what).describe(thing))[:12]
    if callable(thing):
        _forget_compiled(thing, digest)
    return digest


def _forget_compiled(thing: Any, digest: str) -> None:
    """Drop all compiled programs if what a function reaches has changed: JAX would go on with the old values."""
    before, _digests[id(thing)] = _digests.get(id(thing)), (thing, digest)
    if before is not None and before[1] != digest and "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


def is_own(thing: Any) -> bool:
    """Whether a thing is the user's: no function or class of this package or of an installed one."""
    if isinstance(thing, types.FunctionType):
        return not library.is_found_by_name(thing)
    return not isinstance(thing, type) or library.is_own_class(thing)


class _Walk:
    """One walk through what an object reaches. Each object is described once, by a digest."""

    def __init__(self, what: str):
        self.what = what
        self.done: dict[int, str] = {}
        self.begun: dict[int, int] = {}  # objects on the way to the present one, with their depths
        self.kept: list[Any] = []  # an id is only unique while its object lives

    def describe(self, thing: Any) -> Any:
        """Text, or a tuple of texts, that is the same for the same code and values."""
        if id(thing) in self.begun:
            return "above", self.begun[id(thing)]
        if id(thing) in self.done:
            return self.done[id(thing)]
        try:
            if id(thing) not in _versions and isinstance(thing, _PLAIN) and not library.is_own_class(type(thing)):
                return type(thing).__name__, plain_text(thing)
            self.kept.append(thing)
            self.begun[id(thing)] = len(self.begun)
            self.done[id(thing)] = _hash(self._describe(thing))
        except UserError:
            raise
        except RecursionError:
            raise self._refuse(thing, "is nested too deeply") from None
        except (Exception, SystemExit) as error:  # of own code that runs here, such as `__reduce__`
            said = str(error).partition("\n")[0]
            raise self._refuse(thing, f"cannot be taken apart ({type(error).__name__}: {said})") from error
        finally:
            self.begun.pop(id(thing), None)
        return self.done[id(thing)]

    def _each(self, *things: Any) -> tuple[Any, ...]:
        return tuple(map(self.describe, things))

    def _named(self, things: Mapping[str, Any]) -> Any:
        return tuple((name, self.describe(things[name])) for name in sorted(things))

    def _describe(self, thing: Any) -> Any:
        kind = type(thing)
        if id(thing) in _versions:
            return "version", getattr(thing, "__qualname__", kind.__qualname__), _versions[id(thing)][1]
        if isinstance(thing, types.FunctionType):
            return self._function(thing)
        if isinstance(thing, type):
            return self._class(thing)
        if isinstance(thing, types.ModuleType):
            return self._module(thing)
        if isinstance(thing, types.BuiltinFunctionType | types.MethodWrapperType):
            return self._builtin(thing)
        for base, parts in library.PARTS.items():
            if isinstance(thing, base):
                own = library.own_attributes(thing) if library.is_own_class(kind) else {}
                return "parts", *self._each(kind, *(getattr(thing, part) for part in parts)), self._named(own)
        if kind in (tuple, list):
            return kind.__name__, *self._each(*thing)
        if kind in (dict, types.MappingProxyType):
            return "dict", *self._each(*itertools.chain.from_iterable(thing.items()))  # in order, as loops run
        attributes = getattr(thing, "__dict__", None)
        if isinstance(thing, np.ndarray | np.generic) and not isinstance(thing, np.ma.MaskedArray):
            return self._array(np.asarray(thing), self._each(kind, attributes))
        if isinstance(thing, set | frozenset):
            return "set", *self._each(kind, attributes), *sorted(map(self._apart, thing))
        return self._object(thing)

    def _function(self, function: types.FunctionType) -> Any:
        if library.is_found_by_name(function):
            return _foreign(function)
        if library.unchecked(function) is not function:
            return self.describe(library.unchecked(function))
        values = self._each(function.__defaults__, function.__kwdefaults__)
        if library.is_library_function(function):  # it made the function, from what the closure holds
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
            registry = getattr(function, "registry", None)  # of functools.singledispatch, whose closure holds a cache
            held = [registry] if isinstance(registry, types.MappingProxyType) else cells
            return "made", function.__code__.co_qualname, *values, *self._each(*held)
        if library.is_generated(function):
            return "generated", function.__name__
        node = node_of(function)
        if node is None:
            cell = ", because its cell begins with %%time" if function.__code__.co_filename == "<timed exec>" else ""
            raise self._refuse(function, f"has no source code that can be read{cell}")
        reached = {repr((name, self.describe(value))) for name, value in names_read(function, node)}
        return "function", plain_code(node), *values, *sorted(reached), self._named(library.own_attributes(function))

    def _class(self, cls: type) -> Any:
        if not library.is_own_class(cls):
            return _foreign(cls)
        return "class", cls.__name__, *self._each(type(cls), cls.__bases__), self._named(library.own_members(cls))

    def _module(self, module: types.ModuleType) -> Any:
        """A module that is used as a whole: all of its code, and the values of its names."""
        if library.is_foreign(module.__name__):
            return "module", module.__name__
        return "own module", self._named({k: v for k, v in vars(module).items() if not k.startswith("__")})

    def _builtin(self, function: Any) -> Any:
        owner = function.__self__
        if owner is not None and not isinstance(owner, types.ModuleType):  # a method
            return "bound", function.__name__, self.describe(owner)
        if not library.is_foreign(function.__module__ or "builtins"):
            raise self._refuse(function, "has no source code that can be read")
        return _foreign(function)

    def _array(self, array: np.ndarray, kind: Any) -> Any:
        if array.dtype.hasobject:
            return "objects", kind, array.shape, *self._each(*array.ravel().tolist())
        data = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        return "array", kind, str(array.dtype), array.shape, data

    def _object(self, thing: Any) -> Any:
        """Any other object: something of a library, or what pickle takes it apart into."""
        kind = type(thing)
        if library.is_found_by_name(thing):
            return _foreign(thing)
        if typing.get_origin(thing) is not None:
            return "type", *self._each(typing.get_origin(thing), typing.get_args(thing))
        if isinstance(thing, weakref.ref):
            return "weak", self.describe(thing())
        if not library.is_own_class(kind):
            home = vars(sys.modules[kind.__module__]) if kind.__module__ in sys.modules else {}
            names = [name for name, value in list(home.items()) if value is thing]
            if names:
                return "foreign", kind.__module__, min(names)  # e.g. os.environ
            if "jax" in sys.modules and isinstance(thing, sys.modules["jax"].Array):
                return self._jax_array(thing)
            if callable(getattr(thing, "__wrapped__", None)):  # by jax.jit or functools.cache
                return "wrapped", *self._each(kind, thing.__wrapped__), self._named(library.own_attributes(thing))
        reduced = copyreg.dispatch_table.get(kind, lambda each: each.__reduce_ex__(4))(thing)
        if isinstance(reduced, str):  # the name of a global
            module = pickle.whichmodule(thing, reduced)  # pyright: ignore[reportAttributeAccessIssue]
            if kind.__module__ != "typing" and not library.is_foreign(module):
                raise self._refuse(thing, "has no source code that can be read")
            return "foreign", kind.__qualname__, reduced
        make, arguments, state, items, pairs, *_ = (*reduced, None, None, None)
        if isinstance(state, dict):
            kept = [name for name in state if name not in library.NAMES and not _is_cached(kind, name)]
            state = {name: state[name] for name in kept} or None
        return "object", *self._each(make, arguments, state, list(items or ()), list(pairs or ()))

    def _jax_array(self, array: Any) -> Any:
        import jax

        if str(array.dtype).startswith("key<"):
            return self._array(np.asarray(jax.random.key_data(array)), str(array.dtype))
        return self._array(np.asarray(array), "weak" if array.weak_type else "jax")

    def _apart(self, thing: Any) -> str:
        """As `describe`, whatever was described before, because the order of a set differs between processes."""
        before = self.done
        self.done = before if isinstance(thing, _PLAIN) else dict(before)
        described = repr(self.describe(thing))
        self.done = before
        return described

    def _refuse(self, thing: Any, why: str) -> UserError:
        name = getattr(thing, "__qualname__", type(thing).__qualname__)
        return UserError(
            f"{self.what}: got {name!r}, which {why}, expected code from a file or a notebook, because a change of it "
            "has to be noticed; give version='1' or evor_eqx.versioned(it, '1'), and another one when you change it"
        )


def _hash(described: Any) -> str:
    return hashlib.sha256(repr(described).encode()).hexdigest()


def _foreign(thing: Any) -> Any:
    return "foreign", getattr(thing, "__module__", None) or "builtins", thing.__qualname__


def _is_cached(cls: type, name: Any) -> bool:
    return isinstance(inspect.getattr_static(cls, str(name), None), functools.cached_property)
