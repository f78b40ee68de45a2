"""The identity of own code: each number in it counts, wherever it is; what a program does not do differently does not.

The cases are small modules that define `thing`. In NUMBERS, each has one number that counts, ONE. In PAIRS, the two
parts of a case differ in what they do; in ALIKE they do the same. Each digest is also computed in other processes.
"""

import importlib
import importlib.util
import sys

import pytest

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
# an import that raises
import sys
sys.modules["broken_of_the_test"] = None
def thing(x):
    from sys_exit_of_the_test import scale
"""


def cases(text):
    """The cases of a text, by their titles, with the head in front of each part."""
    parts = [case.partition("\n") for case in text[1:].replace("\n# ", "\n\n# ").split("\n# ")]
    found = {}
    for title, _, code in parts:
        if "    " not in title:
            found[title.removeprefix("# ").strip()] = [HEAD + part for part in code.split("---\n")]
    return found


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function that writes a module of the user's, executes it and returns it."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(code, name=None):
        name = name or f"own_{len(list(tmp_path.iterdir()))}"
        file = tmp_path / f"{name}.py"
        file.write_text(code)
        spec = importlib.util.spec_from_file_location(name, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
