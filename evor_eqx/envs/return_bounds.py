"""Between which bounds every return of a task lies, from any state on."""

from typing import NamedTuple


class ReturnBounds(NamedTuple):
    """The least and the largest possible return of a task, from any state on."""

    low: float
    high: float


def return_bounds(least: float, largest: float, gamma: float) -> ReturnBounds:
    """Bounds of every return: [min(0, least), max(0, largest)] / (1 - gamma).

    Zero is among them, because nothing is earned after the end of a task.

    **Arguments:**

    - `least`, `largest`: the range of the reward of a step.
    - `gamma`: the discount per step, in [0, 1).
    """
    return ReturnBounds(min(0.0, least) / (1 - gamma), max(0.0, largest) / (1 - gamma))
