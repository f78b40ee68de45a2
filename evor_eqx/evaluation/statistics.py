"""Intervals for results: plain numpy and scipy, no drawing, no files.

Success rates get Wilson's interval. Means and interquartile means over runs get the bootstrap, stratified over tasks as
in Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice".
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are imported where they are first used: scipy.stats takes a second
from jaxtyping import Float, Int

from evor_eqx.errors import UserError


class Interval(NamedTuple):
    """An estimate and its two-sided interval, in the unit of the values.

    - `estimate`: the mean, rate or other statistic.
    - `low`, `high`: the ends of the interval.
    """

    estimate: float
    low: float
    high: float


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a success probability (Wilson 1927; Brown, Cai and DasGupta 2001).

    With p = successes / trials and the normal quantile q of `level`, the interval is
    (p + q^2/2n +- q sqrt(p (1 - p)/n + q^2/4n^2)) / (1 + q^2/n). It stays in [0, 1] and does not collapse at 0 or n.

    **Arguments:**

    - `successes`: 0 to `trials`.
    - `trials`: n, at least 1.
    - `level`: the probability with which the interval holds the true one, in (0, 1).

    **Raises:**

    UserError for arguments out of range.
    """
    _check_level(level)
    if trials < 1 or not 0 <= successes <= trials:
        raise UserError(
            f"successes of trials: got {successes} of {trials}, expected 0 <= successes <= trials and at least one "
            "trial; evaluate at least one episode"
        )
    interval = scipy.stats.binomtest(int(successes), int(trials)).proportion_ci(level, method="wilson")
    return Interval(successes / trials, float(interval.low), float(interval.high))


def iqm(values: Float[np.ndarray, "..."], axis: int | None = None) -> Float[np.ndarray, "..."] | float:
    """Interquartile mean: the mean without the lowest and the highest quarter of the values (Agarwal et al. 2021).

    **Arguments:**

    - `values`: at least one value; floor(n / 4) of n values are cut at each end.
    - `axis`: the axis to average over; all if not given.

    **Raises:**

    UserError for no values and for values that are not finite.
    """
    values = _finite("values", values)
    values = np.sort(values.ravel() if axis is None else np.moveaxis(values, axis, 0), axis=0)
    cut = len(values) // 4
    return values[cut : len(values) - cut].mean(axis=0)  # scipy.stats.trim_mean takes 0.5 ms, too long for a bootstrap


def bootstrap_interval(
    values: Float[np.ndarray, "runs *tasks"],
    statistic: Callable[..., Any] = np.mean,
    level: float = 0.95,
    num_resamples: int = 2000,
    *,
    seed: int,
) -> Interval:
    """Percentile bootstrap of `statistic(values)`, resampling runs with replacement.

    Values [runs, tasks] are resampled within each task (stratified), so every task keeps its weight.
    (`scipy.stats.bootstrap` resamples all tasks by the same runs, which is not stratified.)

    **Arguments:**

    - `values`: one value per run, or per run and task. One run gives an interval of width zero.
    - `statistic`: takes an array of that shape and gives a number, like `numpy.mean` or `iqm`.
    - `level`: the probability of the interval, in (0, 1).
    - `num_resamples`: at least 1; 2000 is usual.
    - `seed`: of the resampling.

    **Raises:**

    UserError for no values, values that are not finite, and arguments out of range.
    """
    _check_level(level)
    values = _finite("values", values)
    if num_resamples < 1:
        raise UserError(f"num_resamples: got {num_resamples}, expected at least 1 (2000 is usual); give more")
    rows = np.random.default_rng(seed).integers(len(values), size=(num_resamples, *values.shape))
    draws = [float(statistic(np.take_along_axis(values, index, axis=0))) for index in rows]
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(statistic(values)), float(low), float(high))


def paired_difference(
    a: Float[np.ndarray, " pairs"],
    b: Float[np.ndarray, " others"],
    level: float = 0.95,
    num_resamples: int = 2000,
    *,
    seed: int,
) -> Interval:
    """The mean of a - b over pairs, with its bootstrap interval.

    Whole pairs are resampled, which keeps what both members share, such as an easy start.

    **Arguments:**

    - `a`, `b`: one value per episode under each of two settings, on the same seeds in the same order.
    - `level`, `num_resamples`, `seed`: those of `bootstrap_interval`.

    **Raises:**

    UserError for unequal lengths, and as `bootstrap_interval`.
    """
    a, b = _finite("a", a), _finite("b", b)
    if a.shape != b.shape or a.ndim != 1:
        raise UserError(f"pairs: got shapes {a.shape} and {b.shape}, expected two equal lengths; use the same seeds")
    return bootstrap_interval(a - b, level=level, num_resamples=num_resamples, seed=seed)


def effective_count(weights: Float[np.ndarray, " n"]) -> float:
    """Kish's effective size 1 / sum_i w_i^2 of weights that sum to one: n if all are equal, 1 if only one is not zero.

    It is the inverse of the probability that two independent draws by these weights are the same.
    """
    return float(1 / np.sum(np.square(weights)))


def first_below(steps: Int[np.ndarray, " rows"], errors: Float[np.ndarray, " rows"], level: float) -> int | None:
    """The first step from which all errors are at or below `level`; None if there is none. NaN is above any level."""
    above = np.flatnonzero(~(np.asarray(errors) <= level))
    first = above[-1] + 1 if len(above) else 0
    return int(steps[first]) if first < len(steps) else None


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise UserError(f"{name}: got {values.size} values, expected at least one and all finite; check the results")
    return values


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UserError(f"level: got {level}, expected a probability between 0 and 1; 0.95 is usual")
