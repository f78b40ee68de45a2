"""Statistics against closed forms, textbook values, naive loops and scipy."""

import numpy as np
import pytest
import scipy.stats

from evor_eqx.errors import UserError
from evor_eqx.evaluation import statistics


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3 (Wilson's score, no continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_has_the_textbook_values(successes, trials, low, high):
    interval = statistics.wilson_interval(successes, trials)
    np.testing.assert_allclose(interval, (successes / trials, low, high), atol=5e-5)


def test_wilson_interval_is_symmetric_and_follows_the_formula():
    n, p, q = 50, 0.9, scipy.stats.norm.ppf(0.95)
    centre, half = p + q**2 / (2 * n), q * np.sqrt(p * (1 - p) / n + q**2 / (4 * n**2))
    expected = np.array([centre - half, centre + half]) / (1 + q**2 / n)
    np.testing.assert_allclose(statistics.wilson_interval(45, 50, 0.9)[1:], expected)
    np.testing.assert_allclose(statistics.wilson_interval(5, 50, 0.9)[1:], 1 - expected[::-1])


def test_iqm_leaves_out_the_outer_quarters():
    assert statistics.iqm(np.array([-100.0, 1.0, 2.0, 100.0])) == 1.5
    values = np.random.default_rng(0).normal(size=(40, 3))
    naive = [np.mean(sorted(column)[10:30]) for column in values.T]
    np.testing.assert_allclose(statistics.iqm(values, axis=0), naive)
    for axis in (None, 0, 1):
        np.testing.assert_allclose(statistics.iqm(values, axis), scipy.stats.trim_mean(values, 0.25, axis))


def test_bootstrap_interval_of_a_mean_is_that_of_scipy():
    values = np.random.default_rng(1).exponential(size=30)
    interval = statistics.bootstrap_interval(values, num_resamples=20_000, seed=0)
    other = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=1)
    # Both ends are quantiles of 20k resamples; their Monte-Carlo error is about 0.02 standard errors.
    expected = other.confidence_interval
    np.testing.assert_allclose(interval[1:], (expected.low, expected.high), atol=0.1 * other.standard_error)
    assert interval.estimate == values.mean()


def test_bootstrap_is_stratified_so_differences_between_tasks_do_not_widen_it():
    values = np.array([[0.0, 100.0, 7.0]] * 5)  # tasks differ, runs do not
    assert statistics.bootstrap_interval(values, statistics.iqm, seed=0) == (statistics.iqm(values),) * 3
    assert statistics.bootstrap_interval(values, seed=0).low == pytest.approx(values.mean())


def test_bootstrap_repeats_with_its_seed_and_covers_as_often_as_it_says():
    rng = np.random.default_rng(2)
    runs = rng.normal(size=(300, 40))
    intervals = [statistics.bootstrap_interval(run, level=0.8, num_resamples=300, seed=0) for run in runs]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in intervals])
    assert abs(covered - 0.8) < 4 * np.sqrt(0.16 / 300) + 0.02  # four standard errors, and the small-sample bias
    assert intervals[0] == statistics.bootstrap_interval(runs[0], level=0.8, num_resamples=300, seed=0)


def test_paired_difference_ignores_what_both_settings_share():
    shared = np.random.default_rng(3).normal(scale=100, size=50)
    interval = statistics.paired_difference(shared + 1.0, shared, seed=0)
    np.testing.assert_allclose(interval, 1.0, atol=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: statistics.wilson_interval(0, 0),
        lambda: statistics.wilson_interval(3, 2),
        lambda: statistics.wilson_interval(1, 2, level=1.0),
        lambda: statistics.iqm(np.array([])),
        lambda: statistics.bootstrap_interval(np.array([1.0, np.nan]), seed=0),
        lambda: statistics.bootstrap_interval(np.array([]), seed=0),
        lambda: statistics.bootstrap_interval(np.ones(3), num_resamples=0, seed=0),
        lambda: statistics.paired_difference(np.ones(3), np.ones(4), seed=0),
    ],
)
def test_bad_input_is_a_user_error(call):
    with pytest.raises(UserError, match="expected"):
        call()


def test_effective_count_is_the_inverse_probability_that_two_draws_agree():
    assert statistics.effective_count(np.full(8, 1 / 8)) == pytest.approx(8)
    assert statistics.effective_count(np.eye(3)[1]) == 1
    weights = np.array([0.5, 0.3, 0.2])
    draws = np.random.default_rng(0).choice(3, p=weights, size=(2, 400_000))
    assert statistics.effective_count(weights) == pytest.approx(1 / np.mean(draws[0] == draws[1]), rel=0.01)  # 5 sigma


def test_first_below_is_where_the_error_stays_low():
    steps = np.array([10, 20, 30, 40])
    assert statistics.first_below(steps, np.array([0.5, 0.1, 0.3, 0.1]), 0.2) == 40
    assert statistics.first_below(steps, np.array([0.1, 0.1, 0.1, 0.1]), 0.2) == 10
    assert statistics.first_below(steps, np.array([0.5, 0.1, 0.1, 0.3]), 0.2) is None
