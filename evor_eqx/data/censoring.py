"""Censored returns: what is known of a return whose recording was cut off before the task ended.

After k recorded steps without an end of the task, the return is G = G_k + gamma^k R. G_k is the recorded, discounted
sum. R is the return of what would have followed, and nobody knows it. As every return, R lies between the bounds
[low, high] of the task. So G lies in [G_k + gamma^k low, G_k + gamma^k high]: it is interval-censored (Turnbull 1976).
Where the task ended, the weight of what follows is 0, and the return is complete.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from evor_eqx.envs.return_bounds import ReturnBounds


class ScoreBounds(NamedTuple):
    """The least and the most that a score can be, whatever followed the returns that were cut off."""

    low: float
    high: float


@dataclass(frozen=True)
class CensoredReturns:
    """Discounted returns, some of which were cut off; each lies in [`low`, `high`].

    - `recorded` [*b]: the discounted sum of the rewards that were recorded.
    - `tail_weight` [*b]: gamma^k, the weight of what would have followed k recorded steps; 0 if the task ended.
    - `bounds`: the bounds of what would have followed.
    """

    recorded: Float[np.ndarray, "*b"]
    tail_weight: Float[np.ndarray, "*b"]
    bounds: ReturnBounds

    @property
    def low(self) -> Float[np.ndarray, "*b"]:
        """The least that each return can be."""
        return np.asarray(self.recorded + self.tail_weight * self.bounds.low)

    @property
    def high(self) -> Float[np.ndarray, "*b"]:
        """The most that each return can be."""
        return np.asarray(self.recorded + self.tail_weight * self.bounds.high)

    @property
    def is_complete(self) -> Bool[np.ndarray, "*b"]:
        """Whether the task ended, so that `low` and `high` are the return itself."""
        return np.asarray(self.tail_weight == 0)

    @property
    def num(self) -> int:
        """How many returns there are."""
        return self.recorded.size

    @property
    def num_cut(self) -> int:
        """How many returns were cut off."""
        return int((~self.is_complete).sum())

    @property
    def text(self) -> str:
        """How many returns are complete and how many were cut off, for legends; of a single return, which of both."""
        if self.recorded.ndim == 0:
            return "cut off" if self.num_cut else "complete"
        counts = {"complete": self.num - self.num_cut, "cut off": self.num_cut}
        return ", ".join(f"{num} {what}" for what, num in counts.items() if num) or "none"

    def at(self, index: Any) -> "CensoredReturns":
        """Some of the returns, by anything that indexes an array."""
        return CensoredReturns(np.asarray(self.recorded[index]), np.asarray(self.tail_weight[index]), self.bounds)

    def mean(self, axis: int | None = None) -> "CensoredReturns":
        """The mean over an axis, or over all: it is known as far as the returns are."""
        means = [np.asarray(array.mean(axis)) for array in (self.recorded, self.tail_weight)]
        return CensoredReturns(means[0], means[1], self.bounds)


def interval_text(known: CensoredReturns | ScoreBounds, digits: str = ".1f") -> str:
    """One return or score in words: `-63.2`, or `-99.9 to -97.5` if it is known between bounds only."""
    low, high = f"{float(known.low):{digits}}", f"{float(known.high):{digits}}"
    return low if low == high else f"{low} to {high}"


def cdf_band(returns: CensoredReturns) -> tuple[Float[np.ndarray, "corners 2"], Float[np.ndarray, "points 2"]]:
    """Where the distribution function of some returns can lie: between those of `high` and of `low`.

    **Returns:**

    The corners of the area between the two, and both as one line, with nan between them; one of them if all returns are
    complete. Without returns, none.
    """
    num = returns.num
    if num == 0:
        return np.empty((0, 2)), np.empty((0, 2))
    ends, steps = (returns.low.min(), returns.high.max()), np.repeat(np.arange(num + 1) / num, 2)
    upper, lower = (
        np.stack([np.r_[ends[0], np.repeat(np.sort(each.ravel()), 2), ends[1]], steps], axis=1)
        for each in (returns.low, returns.high)
    )
    edges = [upper, [[np.nan, np.nan]], lower] if returns.num_cut else [upper]
    return np.concatenate([upper, lower[::-1]]), np.concatenate(edges)
