"""Operations of a function, counted from its jaxpr: those of matrix products, which are nearly all of a network's."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax.extend.core
from jax.interpreters import partial_eval  # `jax.extend` has no elimination of dead code


def count(function: Callable, *arguments: Any, **options: Any) -> int:
    """Count floating-point operations in the matrix products of a function, two for each multiply-add.

    What no output needs is left out, as the compiler does. A loop counts with its number of turns, and of several
    branches the most expensive one counts.

    **Arguments:**

    - `function`, `arguments`, `options`: the call to count; it is traced, not run.

    **Raises:**

    ValueError for a loop without a known number of turns: give the number of flow steps as a Python integer.
    """
    closed, *_ = eqx.filter_make_jaxpr(function)(*arguments, **options)
    needed, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _total(needed)


def _total(jaxpr: Any) -> int:
    return sum(_cost(equation) for equation in jaxpr.eqns)


def _cost(equation: Any) -> int:
    name, inner = equation.primitive.name, [_total(jaxpr) for jaxpr in _inner(equation.params)]
    if name == "dot_general":
        return _dot_cost(equation)
    if name == "while" and any(inner):
        raise ValueError("a loop with products in it has no known number of turns: give num_steps as a Python integer")
    if name == "scan":
        return equation.params["length"] * sum(inner)
    return max(inner, default=0) if name == "cond" else sum(inner)


def _dot_cost(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval
    return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left.shape[axis] for axis in contracted)


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs inside an equation: bodies of loops, branches, calls."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, jax.extend.core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, jax.extend.core.Jaxpr):
                yield item
