"""Exercises of the course: a student's answer beside the right one, told in one line that never raises.

An exercise of a notebook is three cells, tagged `exercise` (a function that returns `...`), `check` (a call of `check`)
and `solution` (markdown: a folded Python block that could stand in the exercise's place).
"""

from typing import Any

import numpy as np

NOT_TRIED, RIGHT, NOT_YET = "not tried yet", "right", "not yet"


def check(name: str, answer: Any, expected: Any, *, rtol: float = 1e-3, hint: str = "") -> None:
    """Print what an answer is: `not tried yet`, `right`, or `not yet` with how far off it is and the hint.

    `answer` is a number or an array, or a function without arguments that gives one; what it raises is told, never
    raised. It is not tried yet if it is None or `...`, or holds one. It is right if it has the shape of `expected`
    and its largest error is at most `rtol` times the largest |expected| (times 1, if all of that is 0).
    """
    try:
        got = answer() if callable(answer) else answer
        problem = NOT_TRIED if _is_missing(got) else _problem(np.asarray(got, np.float64), np.asarray(expected), rtol)
    except Exception as error:  # whatever a student's function does
        message = str(error).partition("\n")[0]
        problem = f"{type(error).__name__}: {message}"
    told = problem if problem in (None, NOT_TRIED) else f"{NOT_YET}: {problem}." + (hint and f" Hint: {hint}")
    print(f"{name}: {told or RIGHT}")


def _is_missing(answer: Any) -> bool:
    """Whether an answer is a placeholder, or a list or tuple that holds one."""
    return answer is None or answer is ... or (isinstance(answer, list | tuple) and any(map(_is_missing, answer)))


def _problem(got: np.ndarray, expected: np.ndarray, rtol: float) -> str | None:
    """What is wrong with an answer, or None."""
    if got.shape != expected.shape:
        return f"got shape {got.shape}, expected {expected.shape}"
    if not np.isfinite(got).all():
        return f"got {got[~np.isfinite(got)].flat[0]}, expected finite numbers"
    error, largest = np.abs(got - expected).max(), np.abs(expected).max() or 1.0
    return None if error <= rtol * largest else f"off by {error:.3g}, where the right answer is up to {largest:.3g}"
