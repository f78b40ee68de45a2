"""Exercises of the course: compares a student's answer with the right one and prints one line.

An exercise is three cells of a notebook. Their tags are `exercise` (a function that returns `...`), `check` (a call of
`check`) and `solution` (markdown with a folded Python block that can replace the exercise).
"""

from typing import Any

import numpy as np

NOT_TRIED, NOTHING, RIGHT = "not tried yet", "returned nothing", "right"


def check(name: str, answer: Any, expected: Any, *, rtol: float = 1e-3, hint: str = "") -> None:
    """Print one line: `not tried yet`, `returned nothing`, `right`, or `wrong` with the reason. Never raises.

    - `not tried yet`: the placeholder `...` is still there, also as a part of the answer.
    - `returned nothing`: the answer is None, or has a None in it. The function has no `return`, or one without a value.
    - `right`: no number is further away than the tolerance.
    - `wrong`: the line tells the largest difference, or why there is none (an exception, another shape, a number that
      is not finite), and the hint.

    **Arguments:**

    - `name`: the exercise's name, for the printed line.
    - `answer`: a number, an array, or a function without arguments that returns one. Exceptions of the function are
      printed.
    - `expected`: the right answer. The shapes must be equal.
    - `rtol`: the largest allowed difference, relative to the largest |expected|; absolute if all of `expected` is 0.
    - `hint`: a sentence that is printed with a wrong answer.
    """
    try:
        print(f"{name}: {_verdict(answer() if callable(answer) else answer, expected, rtol, hint)}")
    except Exception as error:  # a student's function may raise anything
        message = str(error).partition("\n")[0]
        print(f"{name}: {_wrong(f'{type(error).__name__}: {message}', hint)}")


def _verdict(got: Any, expected: Any, rtol: float, hint: str) -> str:
    if _contains(got, ...):
        return NOT_TRIED
    if _contains(got, None):
        return f"{NOTHING}. A function gives its answer with `return`."
    problem = _problem(np.asarray(got, np.float64), np.asarray(expected), rtol)
    return RIGHT if problem is None else _wrong(problem, hint)


def _wrong(problem: str, hint: str) -> str:
    return f"wrong: {problem}." + (hint and f" Hint: {hint}")


def _contains(answer: Any, sign: Any) -> bool:
    """Whether an answer is `...` or None, or a list or tuple that contains it."""
    return answer is sign or (isinstance(answer, list | tuple) and any(_contains(part, sign) for part in answer))


def _problem(got: np.ndarray, expected: np.ndarray, rtol: float) -> str | None:
    """A description of what is wrong with an answer, or None."""
    if got.shape != expected.shape:
        return f"got shape {got.shape}, expected {expected.shape}"
    if not np.isfinite(got).all():
        return f"got {got[~np.isfinite(got)].flat[0]}, expected finite numbers"
    error, largest = np.abs(got - expected).max(), np.abs(expected).max() or 1.0
    return None if error <= rtol * largest else f"largest difference {error:.3g}, with right values up to {largest:.3g}"
