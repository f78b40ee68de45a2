"""Intervals and distances for results: plain numpy and scipy, no drawing, no files.

Success rates get Wilson's interval; means and interquartile means over runs the bootstrap, stratified over tasks as
in Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice"; learned return laws
are judged by the Wasserstein distance and by their coverage of recorded returns.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are imported where they are first used: scipy.stats takes a second
from jaxtyping import Float, Int

from evor_eqx.distributions import check_law
from evor_eqx.errors import UserError


class Interval(NamedTuple):
    """An estimate and its two-sided interval, in the unit of the values."""

    estimate: float
    low: float
    high: float


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a success probability (Wilson 1927; Brown, Cai and DasGupta 2001).

    With p = successes / trials and the normal quantile q of `level`, the interval is
    (p + q^2/2n +- q sqrt(p (1 - p)/n + q^2/4n^2)) / (1 + q^2/n). It stays in [0, 1] and does not collapse at 0 or n.
    Raises UserError unless 0 <= successes <= trials, trials >= 1 and 0 < level < 1.
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
    """Interquartile mean: the mean of what is left without the lowest and the highest quarter (Agarwal et al. 2021).

    Over all values unless `axis` is given; floor(n / 4) values are cut at each end. Raises UserError if there are none.
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
    """Percentile bootstrap of `statistic(values)`, resampling runs (first axis) with replacement.

    Values [runs, tasks] are resampled within each task (stratified), so every task keeps its weight. `statistic`
    takes an array of that shape and gives a number, like `numpy.mean` or `iqm`. (`scipy.stats.bootstrap` resamples all
    tasks by the same runs, which is not stratified.) One run gives an interval of width
    zero. Raises UserError for no or non-finite values, level outside (0, 1), num_resamples < 1.
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
    """Mean of a - b over pairs (the same episode seeds under two settings), with its bootstrap interval.

    Resampling whole pairs keeps what both settings share, such as an easy start. Raises UserError for unequal lengths.
    """
    a, b = _finite("a", a), _finite("b", b)
    if a.shape != b.shape or a.ndim != 1:
        raise UserError(f"pairs: got shapes {a.shape} and {b.shape}, expected two equal lengths; use the same seeds")
    return bootstrap_interval(a - b, level=level, num_resamples=num_resamples, seed=seed)


def effective_count(weights: Float[np.ndarray, " n"]) -> float:
    """1 / sum_i w_i^2 of weights that sum to one: n if all are equal, 1 if one has it all (Kish's effective size).

    The inverse of the probability that two independent draws by these weights are the same.
    """
    return float(1 / np.sum(np.square(weights)))


def first_below(steps: Int[np.ndarray, " rows"], errors: Float[np.ndarray, " rows"], level: float) -> int | None:
    """The first step from which the error stays at or below `level`; None if it does not get there, or is no number."""
    above = np.flatnonzero(~(np.asarray(errors) <= level))
    first = above[-1] + 1 if len(above) else 0
    return int(steps[first]) if first < len(steps) else None


def wasserstein_1(
    atoms: Float[np.ndarray, " atoms"], weights: Float[np.ndarray, " atoms"], samples: Float[np.ndarray, " samples"]
) -> float:
    """W_1 between a weighted law and the empirical law of samples: the area between their CDFs, in units of return.

    Raises UserError unless the weights are non-negative, as many as atoms, and sum to one.
    """
    atoms, weights = _law(atoms, weights)
    return float(scipy.stats.wasserstein_distance(atoms, _finite("samples", samples), u_weights=weights))


def pit(
    atoms: Float[np.ndarray, "laws atoms"],
    weights: Float[np.ndarray, "laws atoms"],
    samples: Float[np.ndarray, " samples"],
    *,
    seed: int | None = None,
) -> Float[np.ndarray, " laws"]:
    """Probability integral transform of one sample per law: values in [0, 1], uniform if the laws are right.

    A law with atoms jumps from P(Z < z) to P(Z <= z) at z: the value is drawn uniformly between the two (randomised
    PIT, Czado, Gneiting and Held 2009; exactly uniform for a right law), or is their middle if `seed` is None.
    Raises UserError as `wasserstein_1` does, and unless there is one sample per law.
    """
    atoms, weights = _law(atoms, weights)
    samples = _finite("samples", samples)
    if atoms.ndim != 2 or samples.shape != atoms.shape[:1]:
        raise UserError(f"laws and samples: got shapes {atoms.shape}, {samples.shape}, expected [n, atoms] and [n]")
    below = np.sum(weights * (atoms < samples[:, None]), axis=1)
    at = np.sum(weights * (atoms == samples[:, None]), axis=1)
    level = 0.5 if seed is None else np.random.default_rng(seed).uniform(size=len(samples))
    return np.clip(below + level * at, 0.0, 1.0)


def pit_coverage(values: Float[np.ndarray, " laws"], level: float = 0.9) -> float:
    """Fraction of PIT values inside the central interval [(1 - level)/2, (1 + level)/2]; `level` if the laws are right.

    More: the laws are too wide. Less: too narrow or shifted. Raises UserError for values outside [0, 1].
    """
    _check_level(level)
    values = _finite("values", values)
    if values.min() < 0 or values.max() > 1:
        raise UserError(f"values: got {values.min()} to {values.max()}, expected 0 to 1; pass what `pit` returns")
    return float(np.mean(np.abs(values - 0.5) <= level / 2))


def _law(atoms: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Checked atoms and weights, as float64: sums over thousands of float32 weights would show."""
    check_law(atoms, weights)
    return np.asarray(atoms, np.float64), np.asarray(weights, np.float64)


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise UserError(f"{name}: got {values.size} values, expected at least one and all finite; check the results")
    return values


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UserError(f"level: got {level}, expected a probability between 0 and 1; 0.95 is usual")
