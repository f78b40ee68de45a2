"""Exercises of the course: compares a student's answer with the right one and prints one line.

An exercise is three cells of a notebook. Their tags are `exercise` (a function that returns `...`), `check` (a call of
`check`) and `solution` (markdown with a folded Python block that can replace the exercise).
"""

from typing import Any

import numpy as np

NOT_TRIED, RIGHT, NOT_YET = "not tried yet", "right", "not yet"


def check(name: str, answer: Any, expected: Any, *, rtol: float = 1e-3, hint: str = "") -> None:
    """Print whether an answer is `not tried yet`, `right`, or `not yet`, with the error and the hint. Never raises.

    **Arguments:**

    - `name`: the exercise's name, for the printed line.
    - `answer`: a number, an array, or a function without arguments that returns one. Exceptions of the function are
      printed. The answer is `not tried yet` if it is None or `...`, or contains one of these.
    - `expected`: the right answer. The shapes must be equal.
    - `rtol`: the largest allowed error, relative to the largest |expected|; absolute if all of `expected` is 0.
    - `hint`: a sentence that is printed with a wrong answer.
    """
    try:
        got = answer() if callable(answer) else answer
        problem = NOT_TRIED if _is_missing(got) else _problem(np.asarray(got, np.float64), np.asarray(expected), rtol)
    except Exception as error:  # a student's function may raise anything
        message = str(error).partition("\n")[0]
        problem = f"{type(error).__name__}: {message}"
    told = problem if problem in (None, NOT_TRIED) else f"{NOT_YET}: {problem}." + (hint and f" Hint: {hint}")
    print(f"{name}: {told or RIGHT}")


def _is_missing(answer: Any) -> bool:
    """Whether an answer is a placeholder, or a list or tuple that contains one."""
    return answer is None or answer is ... or (isinstance(answer, list | tuple) and any(map(_is_missing, answer)))


def _problem(got: np.ndarray, expected: np.ndarray, rtol: float) -> str | None:
    """A description of what is wrong with an answer, or None."""
    if got.shape != expected.shape:
        return f"got shape {got.shape}, expected {expected.shape}"
    if not np.isfinite(got).all():
        return f"got {got[~np.isfinite(got)].flat[0]}, expected finite numbers"
    error, largest = np.abs(got - expected).max(), np.abs(expected).max() or 1.0
    return None if error <= rtol * largest else f"off by {error:.3g}, with right values up to {largest:.3g}"
