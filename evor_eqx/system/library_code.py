"""Whose code a module, function or class is: the user's own, or that of a library.

Libraries are the standard library, installed packages and this package. Their code counts by its name only.
"""

import contextlib
import contextvars
import dataclasses
import functools
import importlib.util
import inspect
import sys
import sysconfig
import threading
import types
import typing
import weakref
from collections import namedtuple
from enum import Enum
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")
_INSTALLED = sorted({str(Path(sysconfig.get_paths()[name]).resolve()) for name in _LIBRARIES})

# What a class has without its author's doing, or what only describes it.
_NOT_OWN = {"__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__", "__annotate__"}
_NOT_OWN |= {"__firstlineno__", "__static_attributes__", "__annotate_func__", "__type_params__"}
_NOT_OWN |= {"__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__", "__annotations_cache__"}
_NOT_OWN |= {"__dataclass_fields__", "__dataclass_params__", "_member_map_", "_value2member_map_", "_hashable_values_"}
_NOT_OWN |= {"_unhashable_values_", "_unhashable_values_map_"}
# What `functools.wraps` and JAX attach to a function, and what Equinox keeps beside one, such as compiled programs.
NAMES = {*functools.WRAPPER_ASSIGNMENTS, "__type_params__", "__annotate__"}
_ATTACHED = NAMES | {"__wrapped__", "__signature__", "_fun", "_jit_info"}
_BESIDE = _ATTACHED | {"_signature", "_static_fun", "_dynamic_fun", "_cached"}

_OF_DATACLASS = ("init", "eq", "order", "unsafe_hash", "frozen")
_OF_FIELD = ("name", "type", "default", "default_factory", "init", "kw_only", "compare", "hash", "metadata")
_FIELDS = (types.GetSetDescriptorType, types.MemberDescriptorType, type(vars(namedtuple("Field", "x"))["x"]))
_METHODS = (types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType)
# What objects of these kinds consist of.
PARTS: dict[Any, tuple[str, ...]] = {
    types.MethodType: ("__func__", "__self__"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset", "fdel"),
    functools.cached_property: ("func",),
    functools.partial: ("func", "args", "keywords"),
    contextlib._GeneratorContextManager: ("func", "args", "kwds"),
    Enum: ("_value_",),
    contextvars.ContextVar: ("name",),
    typing.ForwardRef: ("__forward_arg__",),
    (type(threading.Lock()), type(threading.RLock())): (),
    (*_METHODS, *_FIELDS[:2]): ("__objclass__", "__name__"),
    (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet): (),  # what can be made again
}


def is_foreign(module: str | None) -> bool:
    """Whether a module belongs to the standard library, to an installed package or to this package.

    A file of the user's counts as own even if the standard library has a module of the same name.
    """
    name = module or "__main__"
    top = name.partition(".")[0]
    if top in ("__main__", "evor_eqx"):
        return top == "evor_eqx"
    loaded = [sys.modules[each] for each in (name, top) if each in sys.modules]
    for each in loaded or [_spec(top)]:
        places = _places(each)
        if places:
            return all(map(is_library_file, places))
    return top in sys.stdlib_module_names or any(each.__spec__ is not None for each in loaded)


def _spec(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _places(module: types.ModuleType | ModuleSpec | None) -> list[str]:
    """The file of a module, or the folders of one without a file; nothing for one of the interpreter."""
    if isinstance(module, ModuleSpec):
        file, folders = module.origin if module.has_location else None, module.submodule_search_locations
    else:
        file, folders = getattr(module, "__file__", None), getattr(module, "__path__", None)
    return [file] if file else list(folders or ())


@functools.cache
def is_library_file(filename: str) -> bool:
    """Whether a file belongs to the standard library or to an installed package."""
    resolved = str(Path(filename).resolve())
    return any(place in resolved for place in ("/site-packages/", "/dist-packages/")) or any(
        each.startswith(root + "/") for each in (filename, resolved) for root in _INSTALLED
    )


def is_found_by_name(thing: Any) -> bool:
    """Whether a thing is what an installed module has under the thing's name, so that the name stands for it."""
    module, name = (getattr(thing, each, None) for each in ("__module__", "__qualname__"))
    if not (isinstance(module, str) and isinstance(name, str) and module in sys.modules and is_foreign(module)):
        return False
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = vars(found).get(part) if isinstance(found, types.ModuleType) else getattr(found, part, None)
    return found is thing or getattr(found, "__func__", None) is thing


def is_own_module(value: Any) -> bool:
    """Whether a value is a module that is not foreign."""
    return isinstance(value, types.ModuleType) and not is_foreign(value.__name__)


def is_library_function(function: types.FunctionType) -> bool:
    """Whether a function's code is that of a library, whatever `functools.wraps` calls it."""
    return is_foreign(function.__globals__.get("__name__"))


def is_own_class(cls: type) -> bool:
    """Whether a class is the user's; `dataclasses.make_dataclass` says that its module is one of Python."""
    return not is_foreign(cls.__module__) or (dataclasses.is_dataclass(cls) and not is_found_by_name(cls))


def own_members(cls: type) -> dict[str, Any]:
    """What the author of a class wrote into it, and what a dataclass makes methods from."""
    members = {name: each for name, each in vars(cls).items() if name not in _NOT_OWN and not is_generated(each)}
    params, fields = (vars(cls).get(f"__dataclass_{each}__") for each in ("params", "fields"))
    if params is not None:
        members["__dataclass_params__"] = [getattr(params, name) for name in _OF_DATACLASS]
    if fields is not None:
        members["__dataclass_fields__"] = [[getattr(each, name) for name in _OF_FIELD] for each in fields.values()]
    return members


def own_attributes(function: Any) -> dict[str, Any]:
    """What was attached to a function, or what a wrapper of a library holds beside its function."""
    names = _ATTACHED if isinstance(function, types.FunctionType) else _BESIDE
    return {name: value for name, value in getattr(function, "__dict__", {}).items() if name not in names}


def is_generated(member: Any) -> bool:
    """Whether a method was written by the standard library: that of a dataclass, a NamedTuple or an Enum."""
    function = unchecked(getattr(member, "__func__", member))
    if not isinstance(function, types.FunctionType):
        return isinstance(member, _FIELDS)
    if "recursive_repr" in function.__code__.co_qualname and is_library_function(function):
        function = inspect.unwrap(function)
    module, code = str(function.__globals__.get("__name__")), function.__code__
    if module in ("dataclasses", "collections", "enum"):
        return function.__name__.startswith("_")
    return code.co_filename == "<string>" and (module.startswith("namedtuple_") or "__create_fn__" in code.co_qualname)


def unchecked(function: Any) -> Any:
    """A function without what jaxtyping and beartype wrap around it, which checks types and computes nothing."""
    while isinstance(function, types.FunctionType) and hasattr(function, "__wrapped__"):
        by_beartype = function.__code__.co_filename.startswith("<@beartype")
        if not by_beartype and function.__globals__.get("__name__") != "jaxtyping._decorator":
            break
        function = getattr(function, "__wrapped__")  # noqa: B009
    return function
