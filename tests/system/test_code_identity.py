"""The identity of own code: each number in it counts, wherever it is; what a program does not do differently does not.

The cases are small modules that define `thing`. In NUMBERS, each has one number that counts, ONE. In PAIRS, the two
parts of a case differ in what they do; in ALIKE they do the same. Each digest is also computed in other processes.
"""

import importlib
import json
import os
import subprocess
import sys
from functools import partial, wraps
from pathlib import Path

import pytest

from evor_eqx.critics import flow_targets
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.critics.registry import critic_config, critic_names
from evor_eqx.errors import UserError
from evor_eqx.system.code_identity import code_digest, is_own, versioned

HEAD = """
import abc, collections, contextlib, dataclasses, enum, functools, operator, re, types, typing, weakref
from dataclasses import dataclass, field
import equinox as eqx, jax, jax.numpy as jnp, numpy as np, optax
"""

NUMBERS = """
# the body of a function
def thing(x): return x + ONE
# a nested function
def thing(x):
    def inner(y): return [y * ONE for _ in x]
    return inner
# a class in a function
def thing(x):
    class Inner:
        scale = ONE
    return Inner
# a coroutine
async def thing(x): return ONE
# a generator function
def thing(x): yield ONE
# a default
def thing(x, scale=ONE): return x * scale
# a keyword's default, by name
SCALE = ONE
def thing(x, *, scale=SCALE): return x * scale
# a default of a nested function, by name
SCALE = ONE
def thing(x):
    def inner(scale=SCALE): return scale
    return inner
# a closure
def make(scale):
    def inner(x): return x * scale
    return inner
thing = make(ONE)
# a closure over a dictionary, in a method
def make(scales):
    class Inner:
        def method(self): return scales["a"]
    return Inner().method
thing = make({"a": ONE})
# an argument of a decorator
def scaled(scale):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(x): return scale * function(x)
        return wrapper
    return decorate
SCALE = ONE
@scaled(SCALE)
def thing(x): return x
# a decorated function
def doubled(function):
    @functools.wraps(function)
    def wrapper(x): return 2 * function(x)
    return wrapper
@doubled
def thing(x): return x + ONE
# a decorator that is an object
class Scaled:
    def __init__(self, function):
        functools.update_wrapper(self, function)
        self.scale = ONE
    def __call__(self, x): return self.scale * self.__wrapped__(x)
@Scaled
def thing(x): return x
# a function that is called as one of a library
@functools.wraps(jnp.sum)
def thing(x): return ONE * jnp.sum(x)
# a jitted function that is called as one of a library
@jax.jit
@functools.wraps(jnp.sum)
def thing(x): return ONE * jnp.sum(x)
# a function that others call
def last(x): return x * ONE
def middle(x): return last(x)
def thing(x): return middle(x)
# mutual recursion
def even(x): return thing(x - ONE)
def thing(x): return even(x - 1)
# a global number
SCALE = ONE
def thing(x): return [SCALE * y for y in x]
# a global number that is added to
COUNT = ONE
def thing(x):
    global COUNT
    COUNT += x
# a global number in a nested class
SCALE = ONE
def thing(x):
    class Inner:
        scales = [SCALE for _ in x]
    return Inner
# a pattern
class Kind: first = ONE
def thing(x):
    match x:
        case Kind.first: return 1
# a nested dictionary
SCALES = {"a": {"b": [0, ONE]}}
def thing(x): return SCALES[x]
# a set
SCALES = {"a", "b", ONE}
def thing(x): return x in SCALES
# a set of functions that call each other
def first(x): return second(x)
def second(x): return first(x - ONE)
BOTH = {first, second}
def thing(x): return BOTH
# a default dictionary
SCALES = collections.defaultdict(lambda: ONE)
def thing(x): return SCALES[x]
# a dictionary of own kind
class Scales(dict):
    def scale(self): return ONE
SCALES = Scales(a=1)
def thing(x): return SCALES.scale()
# a list of own kind
class Scales(list): pass
SCALES = Scales([ONE])
def thing(x): return SCALES
# an integer of own kind
class Scale(int):
    def double(self): return ONE * self
SCALE = Scale(1)
def thing(x): return SCALE.double()
# a mapping of own kind
class Scales(collections.abc.Mapping):
    def __getitem__(self, name): return ONE
    def __iter__(self): return iter(())
    def __len__(self): return 0
SCALES = Scales()
def thing(x): return SCALES[x]
# a cycle in the data
SCALES = [ONE]
SCALES.append(SCALES)
def thing(x): return SCALES
# a cycle of objects
class Node: pass
first, second = Node(), Node()
first.other, second.other, second.scale = second, first, ONE
def thing(x): return first
# an array of NumPy
SCALES = np.arange(3) + ONE
def thing(x): return SCALES * x
# a mask of an array
SCALES = np.ma.array([1, 2], mask=[0, ONE > 1])
def thing(x): return SCALES * x
# an array of objects
SCALES = np.array(["a", lambda: ONE], object)
def thing(x): return SCALES
# an array of own kind
class Scales(np.ndarray):
    def double(self): return ONE * self
SCALES = np.zeros(3).view(Scales)
def thing(x): return SCALES.double()
# an array of JAX
SCALES = jnp.arange(3) + ONE
def thing(x): return SCALES * x
# a key
KEY = jax.random.key(ONE)
def thing(x): return jax.random.normal(KEY)
# a generator of random numbers
RNG = np.random.default_rng(ONE)
def thing(x): return RNG.normal()
# a method of a generator of random numbers
normal = np.random.default_rng(ONE).normal
def thing(x): return normal()
# a method of a dictionary
scale = {"a": ONE}.get
def thing(x): return scale(x)
# a method of an object
class Scale:
    def __init__(self, scale): self.scale = scale
    def __call__(self, x): return self.scale * x
    def method(self, x): return self(x)
method = Scale(ONE).method
def thing(x): return method(x)
# an object with slots
class Scale:
    __slots__ = ("scale",)
SCALE = Scale()
SCALE.scale = ONE
def thing(x): return SCALE.scale
# an attribute of a function
def thing(x): return x * thing.scale
thing.scale = ONE
# a pattern of a regular expression
NUMBER = re.compile("ONE")
def thing(x): return NUMBER.match(x)
# a getter
first = operator.itemgetter(ONE)
def thing(x): return first(x)
# a weak reference
def scale(x): return x * ONE
reference = weakref.ref(scale)
def thing(x): return reference()(x)
# a vectorised function
add = np.vectorize(lambda x: x + ONE)
def thing(x): return add(x)
# a partial
thing = functools.partial(lambda x, scale: x * scale, scale=ONE)
# a cached function
@functools.cache
def scale(x): return x * ONE
def thing(x): return scale(x)
# a case of a single dispatch
@functools.singledispatch
def scale(x): return 0
@scale.register
def _(x: int): return ONE
def thing(x): return scale(x)
# a context manager that is a decorator
@contextlib.contextmanager
def scaled(scale): yield scale
@scaled(ONE)
def thing(x): return x
# a jitted partial
thing = jax.jit(functools.partial(lambda x, scale: x * scale, scale=ONE))
# what a function of a library is mapped over
dot = jax.vmap(jnp.dot, in_axes=(0, ONE))
def thing(x): return dot(x, x)
# what a mapped function was made from
def make(axis): return eqx.filter_vmap(lambda x: x, in_axes=axis)
inner = make(ONE)
def thing(x): return inner(x)
# a derivative of a library's function
gradient = jax.grad(jnp.dot, argnums=ONE)
def thing(x): return gradient(x, x)
# a derivative of one's own
@jax.custom_jvp
def scale(x): return x
@scale.defjvp
def _(primals, tangents): return primals[0], ONE * tangents[0]
def thing(x): return scale(x)
# a derivative of one's own, backwards
@jax.custom_vjp
def scale(x): return x
scale.defvjp(lambda x: (x, x), lambda x, gradient: (ONE * gradient,))
def thing(x): return scale(x)
# an optimizer
optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(ONE))
def thing(x): return optimizer.init(x)
# an initializer
initialize = jax.nn.initializers.normal(ONE)
def thing(x): return initialize
# a method
class thing:
    def method(self, scale=1): return scale * ONE
# an attribute of a class
class thing: scale = ONE
# a property
class thing:
    @property
    def scale(self): return ONE
# a property of own kind
class scaled(property):
    def __get__(self, *_): return ONE
class thing:
    @scaled
    def scale(self): return 0
# a cached property
class thing:
    @functools.cached_property
    def scale(self): return ONE
# a static method
class thing:
    @staticmethod
    def scale(): return ONE
# a class method
class thing:
    @classmethod
    def scale(cls): return ONE
# a partial method
class thing:
    def method(self, scale): return scale
    one = functools.partialmethod(method, ONE)
# a descriptor
class Scale:
    def __get__(self, *_): return ONE
class thing: scale = Scale()
# a base class
class Base:
    def method(self): return ONE
class thing(Base):
    def method(self): return super().method()
# a method that calls that of its base class
class Base:
    def method(self): return ONE
class Inner(Base):
    def method(self): return super().method()
thing = Inner.method
# a class from one of a library
class thing(eqx.nn.Linear):
    def double(self): return ONE
# an argument of a base class
class Base:
    def __init_subclass__(cls, scale): cls.scale = scale
class thing(Base, scale=ONE): pass
# a metaclass
class Meta(type):
    def __call__(cls): return ONE
class thing(metaclass=Meta): pass
# a default of a dataclass
@dataclass(frozen=True)
class thing: scale: float = ONE
# a default of a dataclass with slots
@dataclass(slots=True)
class thing: scale: float = ONE
# a factory of a dataclass
@dataclass
class thing: scales: list = field(default_factory=lambda: [ONE])
# metadata of a dataclass
@dataclass
class thing: scale: int = field(metadata={"most": ONE})
# a dataclass that is made by a function
thing = dataclasses.make_dataclass("thing", [("scale", int, ONE)])
# a constructor that is wrapped
@dataclass
class thing: scale: int = 1
before = thing.__init__
@functools.wraps(before)
def after(self, *arguments): before(self, *arguments); self.scale *= ONE
thing.__init__ = after
# a dataclass's instance
@dataclass
class Scale: scale: int
SCALE = Scale(ONE)
def thing(x): return SCALE
# a named tuple's default
class thing(typing.NamedTuple): scale: int = ONE
# a named tuple's method
class Scale(typing.NamedTuple):
    scale: int
    def double(self): return ONE * self.scale
SCALE = Scale(1)
def thing(x): return SCALE.double()
# a value of an Enum
class Scale(enum.Enum): FIRST = [ONE]
def thing(x): return Scale.FIRST.value
# a method of an IntEnum
class Scale(enum.IntEnum):
    FIRST = 1
    def double(self): return ONE * self
FIRST = Scale.FIRST
def thing(x): return FIRST.double()
# a field of a module
class Scale(eqx.Module): scale: float
SCALE = Scale(ONE)
def thing(x): return SCALE.scale * x
# a method of a module
class thing(eqx.Module):
    scale: float
    def __call__(self, x): return x * self.scale * ONE
# a bound method of a module
class Scale(eqx.Module):
    scale: float
    def method(self, x): return x * self.scale
method = Scale(ONE).method
def thing(x): return method(x)
# a converter of a module
class thing(eqx.Module): scale: float = eqx.field(converter=lambda scale: ONE * scale)
# a mapped method of a module
class thing(eqx.Module):
    @jax.vmap
    def method(self, x): return x * ONE
# a checkpointed method
class thing:
    @jax.checkpoint
    def method(self, x): return x * ONE
# a jitted method of a module
class thing(eqx.Module):
    @eqx.filter_jit
    def method(self, x): return x * ONE
# a network
network = eqx.nn.MLP(1, 1, 2, 1, key=jax.random.key(ONE))
def thing(x): return network(x)
# a function in the place of a library's
np.own_mean = lambda x: ONE
def thing(x): return np.own_mean(x)
"""

PAIRS = """
# which lambda of a line
first, second = lambda x: 1, lambda x: 2
thing = first
---
first, second = lambda x: 1, lambda x: 2
thing = second
# the lambda in a lambda
thing = (lambda: (lambda: 1))
---
thing = (lambda: (lambda: 1))()
# the order of a dictionary
LAYERS = {"a": 1, "b": 2}
def thing(x): return list(LAYERS)
---
LAYERS = {"b": 2, "a": 1}
def thing(x): return list(LAYERS)
# the order of an Enum
class thing(enum.Enum): A = 1; B = 2
---
class thing(enum.Enum): B = 2; A = 1
# the order of base classes
class A: scale = 1
class B: scale = 2
class thing(A, B): pass
---
class A: scale = 1
class B: scale = 2
class thing(B, A): pass
# integer, float and bool
def thing(x): return 1
---
def thing(x): return 1.0
# the sign of zero
ZERO = 0.0
def thing(x): return ZERO
---
ZERO = -0.0
def thing(x): return ZERO
# the type of an array
ZEROS = np.zeros(3)
def thing(x): return ZEROS
---
ZEROS = np.zeros(3, np.float32)
def thing(x): return ZEROS
# a key of another kind
KEY = jax.random.key(0, impl="rbg")
def thing(x): return KEY
---
KEY = jax.random.key(0, impl="unsafe_rbg")
def thing(x): return KEY
# a library's function
thing = functools.partial(jnp.sum, axis=0)
---
thing = functools.partial(jnp.mean, axis=0)
# a mapped function of a library
dot = jnp.dot
def thing(x): return dot(x, x)
---
dot = jax.vmap(jnp.dot)
def thing(x): return dot(x, x)
# a static field
class thing(eqx.Module): scale: float
---
class thing(eqx.Module): scale: float = eqx.field(static=True)
# a field of a class in a function
def thing(x):
    @dataclass
    class Inner: scale: int = 1
---
def thing(x):
    @dataclass
    class Inner: scale: typing.ClassVar[int] = 1
# operators
def thing(x): return x < 1
---
def thing(x): return x <= 1
# stars
def thing(x): return max(*x)
---
def thing(x): return max(x)
# the code of another function
def other(x): return 2
def thing(x): return 1
---
def other(x): return 2
def thing(x): return 1
thing.__code__ = other.__code__
"""

ALIKE = """
# comments, docstrings, annotations and empty lines
class thing(eqx.Module):
    scale: float
    def method(self, x):
        def inner(y): return y * 16
        return inner(x) * self.scale
---
SOMETHING_ELSE = 3


class thing(eqx.Module):
    '''The docstring of 1 class.'''

    scale: float  # a number

    def method(self, x: int) -> float:
        '''The docstring of 1 method.'''

        # a comment
        def inner(y: "float") -> "float":
            '''The docstring of 1 function.'''
            return (y * 0x10)

        return inner(x) * self.scale
# docstrings of wrapped functions
@functools.cache
@eqx.filter_jit
@eqx.filter_vmap
@jax.vmap
@jax.jit
def thing(x): return x
---
@functools.cache
@eqx.filter_jit
@eqx.filter_vmap
@jax.vmap
@jax.jit
def thing(x: float) -> float:
    '''A docstring.'''
    return x
# the order of definitions
SCALE = 1
def inner(x): return x * SCALE
class thing:
    def first(self): return inner(1)
    def second(self): return 2
---
class thing:
    def second(self): return 2
    def first(self): return inner(1)
def inner(x): return x * SCALE
SCALE = 1
# lambdas on other lines
lambdas = [lambda x: x + 1, lambda x: x + 2]
thing = lambdas[0]
---
lambdas = [
    lambda x: x + 1,
    lambda x: x + 2,
]
thing = lambdas[0]
# the order of a set
NAMES = {"a", "b", "c"}
def thing(x): return x in NAMES
---
NAMES = {"c", "a", "b"}
def thing(x): return x in NAMES
# one object or two that are equal
pair = (1, 2)
PAIRS = [pair, pair]
def thing(x): return PAIRS
---
PAIRS = [(1, 2), tuple([1, 2])]
def thing(x): return PAIRS
# environment variables
from os import environ
def thing(x): return environ[x]
---
from os import environ
environ["EVOR_OF_THE_TEST"] = "1"
def thing(x): return environ[x]
# locks and loggers
import logging, threading
lock, log = threading.Lock(), logging.getLogger("mine")
def thing(x):
    with lock: log.info(x)
---
import logging, threading
lock, log = threading.Lock(), logging.getLogger("mine")
lock.acquire()
def thing(x):
    with lock: log.info(x)
# compiled functions that were used
@jax.custom_vjp
def scale(x): return x
scale.defvjp(lambda x: (x, x), lambda x, gradient: (gradient,))
@eqx.filter_jit
@jax.jit
def thing(x): return jax.grad(scale)(x)
---
@jax.custom_vjp
def scale(x): return x
scale.defvjp(lambda x: (x, x), lambda x, gradient: (gradient,))
@eqx.filter_jit
@jax.jit
def thing(x): return jax.grad(scale)(x)
thing(1.0)
# caches that were filled
class Scale:
    @functools.cached_property
    def scale(self): return 1
@functools.singledispatch
def dispatched(x): return 0
@dispatched.register
def _(x: int): return 1
@functools.cache
def cached(x): return 1
class Kind(enum.Flag): A = 1; B = 2
SCALE, KEPT, KIND = Scale(), weakref.WeakKeyDictionary(), Kind.A
def thing(x): return SCALE, dispatched, cached, KEPT, KIND
---
class Scale:
    @functools.cached_property
    def scale(self): return 1
@functools.singledispatch
def dispatched(x): return 0
@dispatched.register
def _(x: int): return 1
@functools.cache
def cached(x): return 1
class Kind(enum.Flag): A = 1; B = 2
SCALE, KEPT, KIND = Scale(), weakref.WeakKeyDictionary(), Kind.A
def thing(x): return SCALE, dispatched, cached, KEPT, KIND
SCALE.scale, dispatched(1), cached(1), Kind.A | Kind.B
KEPT[Scale] = 1
# annotations that were looked up
from jaxtyping import Array, Float, PyTree
Kind = typing.TypeVar("Kind")
class thing(eqx.Module, typing.Generic[Kind]):
    children: typing.Optional[typing.Iterable["thing"]]
    child: "thing"
    scale: list["Float[Array, 'a 3']"] | None
    tree: PyTree[Float[Array, ""]]
    kind: Kind
    function: typing.Callable[[int], typing.Literal["a"]] = len
---
from jaxtyping import Array, Float, PyTree
Kind = typing.TypeVar("Kind")
class thing(eqx.Module, typing.Generic[Kind]):
    children: typing.Optional[typing.Iterable["thing"]]
    child: "thing"
    scale: list["Float[Array, 'a 3']"] | None
    tree: PyTree[Float[Array, ""]]
    kind: Kind
    function: typing.Callable[[int], typing.Literal["a"]] = len
typing.get_type_hints(thing)
# a class that was used
@typing.runtime_checkable
class Named(typing.Protocol):
    def name(self): ...
@dataclass(frozen=True)
class thing(Named):
    scale: int = 1
---
@typing.runtime_checkable
class Named(typing.Protocol):
    def name(self): ...
@dataclass(frozen=True)
class thing(Named):
    scale: int = 1
class Child(thing): pass
isinstance(3, Named), repr(thing()), hash(thing()), dataclasses.replace(thing(), scale=2)
"""

REFUSED = """
# no source code
inner = eval("lambda x: x")
def thing(x): return inner(x)
# no source code under the name of a constructor
class thing: pass
exec("def init(self): self.scale = 1")
thing.__init__ = init
# no source code under no name of a module
names = {}
exec("def thing(x): return x", names)
thing = names["thing"]
# a function of NumPy made from one's own
thing = np.frompyfunc(lambda x: x + 1, 1, 1)
# a foreign function
import ctypes
thing = ctypes.CDLL(None).abs
# an open file
FILE = open(__file__)
def thing(x): return FILE
# a generator
NUMBERS = (number for number in range(3))
def thing(x): return next(NUMBERS)
# a deleted array
ZEROS = jnp.zeros(3)
ZEROS.delete()
def thing(x): return ZEROS
# a traced array
seen = []
jax.jit(seen.append)(1.0)
def thing(x): return seen
# attributes that raise
class Scale:
    def __getattr__(self, name): raise ValueError("no " + name)
SCALE = Scale()
def thing(x): return SCALE
# a class that raises
class Scale:
    @property
    def __class__(self): raise ValueError
thing = Scale()
# an object that pickle cannot take apart
class thing:
    def __reduce_ex__(self, protocol): return 3
thing = thing()
# an endless list
thing = []
for _ in range(10_000): thing = [thing]
"""


def cases(text):
    """The cases of a text, by their titles; each is a list of modules."""
    parts = [case.partition("\n") for case in text.split("\n# ")[1:]]
    return {title: [HEAD + code for code in codes.split("---\n")] for title, _, codes in parts}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for modules of the user's, which are forgotten after the test."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    forget(tmp_path)


def forget(folder):
    """Forget the modules of a folder, so that they are imported anew."""
    for name, module in list(sys.modules.items()):
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        if any(str(place).startswith(str(folder)) for place in places):
            del sys.modules[name]
    importlib.invalidate_caches()


def digest_of(code, folder):
    """The digest of `thing` in a new module with this code."""
    name = f"own_{len(list(folder.iterdir()))}"
    (folder / f"{name}.py").write_text(code)
    return code_digest(importlib.import_module(name).thing, "the thing")


@pytest.mark.parametrize("codes", cases(NUMBERS).values(), ids=cases(NUMBERS))
def test_a_number_counts_wherever_it_is(codes, folder):
    one, again, two = (digest_of(codes[0].replace("ONE", number), folder) for number in "112")
    assert one == again != two


@pytest.mark.parametrize("codes", cases(PAIRS).values(), ids=cases(PAIRS))
def test_what_does_something_else_is_something_else(codes, folder):
    first, second = (digest_of(code, folder) for code in codes)
    assert first != second


@pytest.mark.parametrize("codes", cases(ALIKE).values(), ids=cases(ALIKE))
def test_what_does_the_same_is_the_same(codes, folder):
    first, second = (digest_of(code, folder) for code in codes)
    assert first == second


@pytest.mark.parametrize("codes", cases(REFUSED).values(), ids=cases(REFUSED))
def test_what_cannot_be_identified_is_refused_and_a_version_stands_for_it(codes, folder):
    with pytest.raises(UserError, match=r"the thing: got .*; give version='1'"):
        digest_of(codes[0], folder)
    thing = sys.modules["own_0"].thing
    assert code_digest(versioned(thing, "1"), "the thing") != code_digest(versioned(thing, "2"), "the thing")
    with pytest.raises(UserError, match="the thing"):
        code_digest(versioned(thing, None), "the thing")


IN_ANOTHER_PROCESS = """
import importlib, json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
from evor_eqx.system.code_identity import code_digest
names = [path.stem for path in Path(sys.argv[1]).glob("own_*.py")]
print(json.dumps({name: code_digest(importlib.import_module(name).thing, name) for name in names}))
"""


def test_digests_are_the_same_in_every_process(folder):
    """Python's hashes, which order its sets, differ between processes."""
    codes = [codes[0].replace("ONE", "1") for codes in cases(NUMBERS).values()]
    codes += [code for text in (PAIRS, ALIKE) for codes in cases(text).values() for code in codes]
    for number, code in enumerate(codes):
        (folder / f"own_{number}.py").write_text(code)
    digests = {path.stem: code_digest(importlib.import_module(path.stem).thing, "") for path in folder.glob("*.py")}
    for seed in ("1", "2"):
        assert in_another_process(IN_ANOTHER_PROCESS, folder, seed) == digests


def in_another_process(code, folder, seed="0"):
    """What a program prints as JSON in its last line."""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# Several files: `own_start.thing` is identified, and the last file of a case has the number that counts.

OTHER = {"own_other.py": "UNREAD = open(__file__)\nSCALE = ONE"}
PACKAGE = {"own_package/__init__.py": "", "own_package/other.py": "UNREAD = open(__file__)\nSCALE = ONE"}
FILES = {
    "a name of a module": {"own_start.py": "import own_other\ndef thing(x): return own_other.SCALE", **OTHER},
    "a module under another name, in a function": {
        "own_start.py": "def thing(x):\n    import own_other as other\n    return other.SCALE",
        **OTHER,
    },
    "a name from a module, in a function": {
        "own_start.py": "def thing(x):\n    from own_other import SCALE\n    return SCALE",
        **OTHER,
    },
    "a function of a module that uses another one": {
        "own_start.py": "from own_middle import scale\ndef thing(x): return scale(x)",
        "own_middle.py": "import own_other\ndef scale(x): return x * own_other.SCALE",
        **OTHER,
    },
    "modules that import each other": {
        "own_start.py": "import own_other\ndef thing(x): return own_other.scale(x)\ndef one(): return 1",
        "own_other.py": "def scale(x):\n    import own_start\n    return ONE * own_start.one()",
    },
    "a base class of a module": {
        "own_start.py": "import own_other\nclass thing(own_other.Base): pass",
        "own_other.py": "class Base:\n    def scale(self): return ONE",
    },
    "everything of a module": {"own_start.py": "from own_other import *\ndef thing(x): return SCALE", **OTHER},
    "a module in a closure": {
        "own_start.py": "def make():\n    import own_other\n    return lambda x: own_other.SCALE\nthing = make()",
        **OTHER,
    },
    "a module of a package": {
        "own_start.py": "import own_package.other\ndef thing(x): return own_package.other.SCALE",
        **PACKAGE,
    },
    "a module of a package, in a function": {
        "own_start.py": "def thing(x):\n    import own_package.other\n    return own_package.other.SCALE",
        **PACKAGE,
    },
    "a package of which a module is imported, in a function": {
        "own_start.py": "def thing(x):\n    import own_package.other\n    return own_package.SCALE",
        "own_package/other.py": "UNREAD = open(__file__)",
        "own_package/__init__.py": "SCALE = ONE",
    },
    "a module from a package, in a function": {
        "own_start.py": "def thing(x):\n    from own_package import other\n    return other.SCALE",
        **PACKAGE,
    },
    "a folder without __init__.py": {
        "own_start.py": "import own_folder.other\ndef thing(x): return own_folder.other.SCALE",
        "own_folder/other.py": "SCALE = ONE",
    },
    "relative imports": {
        "own_start.py": "from own_package.inner.middle import thing",
        "own_package/inner/__init__.py": "",
        "own_package/inner/middle.py": "def thing(x):\n    from . import near\n    from .. import other\n"
        "    return near.SCALE, other.SCALE",
        "own_package/inner/near.py": "SCALE = 1",
        **PACKAGE,
    },
    "an import that may fail": {
        "own_start.py": "def thing(x):\n    try:\n        from own_nowhere import SCALE\n    except ImportError:\n"
        "        from own_other import SCALE\n    return SCALE",
        **OTHER,
    },
    "a name that an inner function imports": {
        "own_other.py": "SCALE = 3",
        "own_start.py": "SCALE = ONE\ndef thing(x):\n    def inner():\n        from own_other import SCALE\n"
        "        return SCALE\n    return SCALE, inner",
    },
    "a function that was put into a module": {
        "own_start.py": "import own_other, own_patch\nown_other.scale = own_patch.scale\n"
        "def thing(x): return own_other.scale(x)",
        "own_other.py": "def scale(x): return 0",
        "own_patch.py": "def scale(x): return ONE",
    },
    "a module that is called as one of the standard library": {
        "own_start.py": "import this\ndef thing(x): return this.scale(x)",
        "this.py": "def scale(x): return ONE",
    },
}
WHOLE = {"own_start.py": "import own_other\ndef thing(x): return getattr(own_other, x)", "own_other.py": "SCALE = ONE"}


def digest_of_files(files, folder, number="1"):
    """The digest of `own_start.thing`, imported anew from these files."""
    forget(folder)
    for name, code in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(code.replace("ONE", number))
    return code_digest(importlib.import_module("own_start").thing, "the thing")


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_a_number_of_another_file_counts_and_what_is_not_read_there_does_not(files, folder, monkeypatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    one, two = (digest_of_files(files, folder, number) for number in "12")
    last = list(files)[-1]
    longer = f"'''A docstring.'''\nSOMETHING_ELSE = 5\n{files[last]}\ndef something_else(): return 7"
    assert digest_of_files({**files, last: longer}, folder) == one != two


def test_everything_counts_of_a_module_that_is_used_as_a_whole(folder):
    longer = {**WHOLE, "own_other.py": "SCALE = 1\nSOMETHING_ELSE = 5"}
    assert (
        len({digest_of_files(WHOLE, folder, "1"), digest_of_files(WHOLE, folder, "2"), digest_of_files(longer, folder)})
        == 3
    )


def test_a_digest_stays_after_the_thing_was_used_and_other_modules_were_imported(folder):
    code = (
        "def thing():\n    import own_package\n    from own_package import other\n    return own_package.SCALE, other"
    )
    files = {"own_start.py": code, "own_package/__init__.py": "SCALE = 1"}
    files |= {"own_package/other.py": "SCALE = 1"}
    before = digest_of_files({**files, "own_package/more.py": "UNREAD = open(__file__)"}, folder)
    thing = importlib.import_module("own_start").thing
    thing()
    importlib.import_module("own_package.more")
    assert code_digest(thing, "the thing") == before


@pytest.mark.parametrize("raising", ["1 / 0", "raise SystemExit"])
def test_an_import_that_raises_is_refused(raising, folder):
    code = "def thing():\n    import own_other\n    return own_other"
    with pytest.raises(UserError, match="the thing: got 'thing', which cannot be taken apart"):
        digest_of_files({"own_start.py": code, "own_other.py": raising}, folder)


EDITED = "def thing(x):\n    return x in {'a', 'b', 'c', None, 1}\n"


@pytest.mark.parametrize(
    ("edited", "is_noticed"),
    [
        (EDITED.replace("1", "2"), True),
        (EDITED.replace("x in", "x not in"), True),
        (f"# A comment.\n\nSCALE = 3\n\n\n{EDITED}", False),
        (EDITED.replace("):", "):\n    'A docstring.'"), False),
    ],
)
def test_a_file_that_was_edited_after_its_import_does_not_identify_the_old_code(folder, edited, is_noticed):
    file = folder / "own_edited.py"
    file.write_text(EDITED)
    module = importlib.import_module("own_edited")
    before = code_digest(module.thing, "the thing")
    file.write_text(edited)
    os.utime(file, (2e9, 2e9))
    if is_noticed:
        with pytest.raises(UserError, match=f"{file} was changed after thing was imported from it"):
            code_digest(module.thing, "the thing")
    assert (code_digest(importlib.reload(module).thing, "the thing") == before) != is_noticed
    file.unlink()
    with pytest.raises(UserError, match="no source code"):
        code_digest(module.thing, "the thing")


CELLS = """
import json
from IPython.core.interactiveshell import InteractiveShell
from evor_eqx.errors import UserError
from evor_eqx.system.code_identity import code_digest
shell, digests = InteractiveShell.instance(), {}
def cell(title, code):
    assert shell.run_cell(code, store_history=True).success
    try:
        digests[title] = code_digest(shell.user_ns.get("thing"), "the thing")
    except UserError as error:
        digests[title] = str(error)
FUNCTION = "def thing(x):\\n    \\"Doc.\\"\\n    return SCALE * inner(x)"
CLASS = "class thing(eqx.Module):\\n    x: float = 1.0\\n    def method(self): return inner(self.x)"
cell("start", "import asyncio, equinox as eqx\\nSCALE = 1\\ndef inner(x): return x + 1")
cell("function", FUNCTION)
cell("function again", FUNCTION)
cell("function with a comment", "# A comment.\\n\\n" + FUNCTION.replace("Doc", "Another doc"))
cell("function that differs", FUNCTION.replace("SCALE", "2 * SCALE"))
cell("function after that", FUNCTION)
cell("function with another scale", "SCALE = 2")
cell("function with another helper", "SCALE = 1\\ndef inner(x): return x + 2")
cell("function with the first helper", "def inner(x): return x + 1")
cell("class", CLASS)
cell("class again", "SOMETHING_ELSE = 3\\n" + CLASS)
cell("class that differs", CLASS.replace("1.0", "2.0"))
cell("class whose method differs", CLASS.replace("inner", "3 * inner"))
cell("first lambda", "await asyncio.sleep(0)\\nthing, other = lambda x: 1, lambda x: 2")
cell("second lambda", "await asyncio.sleep(0)\\nother, thing = lambda x: 1, lambda x: 2")
cell("function after a magic", "%pwd\\ndef thing(x): display(x)")
cell("timed", "%%time\\ndef thing(x): return x")
print()
print(json.dumps(digests))
"""


def test_cells_of_a_notebook(folder):
    digests, again = (in_another_process(CELLS, folder, seed) for seed in ("1", "2"))
    assert digests == again
    said = digests.pop("timed")
    assert "its cell begins with %%time" in said and "version='1'" in said
    same = [[title for title in digests if digests[title] == digest] for digest in dict.fromkeys(digests.values())]
    assert [titles for titles in same if len(titles) > 1] == [
        [
            "function",
            "function again",
            "function with a comment",
            "function after that",
            "function with the first helper",
        ],
        ["class", "class again"],
    ]


SCRIPT = """
import json, os
from evor_eqx.system.code_identity import code_digest
SCALE = 1
def thing(x): return x * SCALE
class Thing:
    def method(self): return thing
digests = [code_digest(each, "the thing") for each in (thing, Thing)]
os.chdir("/")
print(json.dumps([digests, [code_digest(each, "the thing") for each in (thing, Thing)]]))
"""


def test_a_script(folder):
    (folder / "own_script.py").write_text(SCRIPT)
    run = f"import os, sys; os.execv(sys.executable, [sys.executable, {str(folder / 'own_script.py')!r}])"
    first, second = in_another_process(run, folder)
    assert first == second == in_another_process(run, folder, "1")[0]


def scaled(x):
    """A function of this file, which pytest rewrites."""
    assert x > 0
    return x * 2


def test_functions_of_a_file_that_pytest_rewrites_have_an_identity():
    assert code_digest(scaled, "") == code_digest(scaled, "") != code_digest(partial(scaled, 1), "")


CHECKS = [
    "from beartype import beartype\n@beartype\n",
    "from beartype import beartype\nfrom jaxtyping import jaxtyped\n@jaxtyped(typechecker=beartype)\n",
]


@pytest.mark.parametrize("check", CHECKS)
def test_code_inside_of_a_check_of_types_counts(check, folder):
    one, again, two = (digest_of(f"{check}def thing(x: int): return x + {number}", folder) for number in "112")
    assert one == again != two


def test_long_code_is_read_and_endless_code_is_refused(folder):
    terms = " + ".join(["x"] * 300)
    branches = "\n".join(f"    elif x == {number}: return {number}" for number in range(150))
    digest_of(f"def thing(x):\n    if x is None: return {terms}\n{branches}", folder)
    calls = "\n".join(f"def call_{number}(x): return call_{number + 1}(x)" for number in range(1000))
    with pytest.raises(UserError, match="nested too deeply"):
        digest_of(f"{calls}\nthing = call_0", folder)


# Versions, and what is own.


def test_a_version_stands_for_one_function_and_not_for_what_wraps_it():
    def inner(x):
        return x

    @wraps(versioned(inner, "1"))
    def wrapper(x):
        return 2 * inner(x)

    first = code_digest(inner, "")
    assert first == code_digest(versioned(inner, "1"), "") != code_digest(versioned(inner, "2"), "")
    assert first not in (code_digest(wrapper, ""), code_digest(versioned(scaled, "1"), ""))
    assert first != code_digest(versioned(scaled, None), "")


class Frozen(tuple):
    """An object that takes no attributes."""

    __slots__ = ()

    def method(self):
        """A method, which takes none either."""
        return self


@pytest.mark.parametrize("thing", [len, Frozen().method, Frozen((1,))], ids=["a builtin", "a method", "an object"])
def test_things_without_attributes_take_a_version(thing):
    without = code_digest(thing, "")
    assert code_digest(versioned(thing, "1"), "") != without == code_digest(versioned(thing, None), "")


def test_what_comes_with_the_package_is_not_own_and_what_wraps_it_is(monkeypatch):
    assert not any(map(is_own, [*flow_targets.TARGETS.values(), *map(critic_config, critic_names())]))

    def scaled_target(factor):
        @wraps(flow_targets.TARGETS["bootstrap"])
        def target(step, z_0, t, *, key):
            return factor * z_0, z_0

        return target

    codes = []
    for factor in (1, 2):
        monkeypatch.setitem(flow_targets.TARGETS, "scaled", scaled_target(factor))
        codes.append(FlowConfig(target="scaled").own_code()["scaled"])
    assert codes[0] != codes[1] and FlowConfig(target="bootstrap").own_code() == {}
