"""What is picked among N, against order statistics and a naive loop; correlations against scipy."""

import itertools
from math import comb

import numpy as np
import pytest
import scipy.stats

from evor_eqx.errors import UserError
from evor_eqx.evaluation.overestimation import picked, rank_correlation, reliable_share

RNG = np.random.default_rng(0)
VALUES, WORTH = RNG.normal(size=(3, 8)), RNG.normal(size=(3, 8))


@pytest.mark.parametrize("num", [1, 2, 5, 8])
def test_the_best_of_n_is_what_order_statistics_say(num):
    """P(the candidate of rank r is the best of N among M) = C(r, N - 1) / C(M, N), ranks from 0."""
    chance = np.array([comb(rank, num - 1) / comb(8, num) for rank in range(8)])
    order = np.argsort(VALUES, axis=1)
    expected = [
        np.mean([(chance * (row - row.mean())[ranks]).sum() for row, ranks in zip(array, order, strict=True)])
        for array in (VALUES, WORTH)
    ]
    np.testing.assert_allclose(picked(VALUES, WORTH, num, num_subsets=40_000), expected, atol=0.02)


def test_softmax_is_the_mean_over_all_subsets():
    tau_q, sums = 0.7, []
    for subset in itertools.combinations(range(8), 3):
        weights = scipy.special.softmax(VALUES[:, subset] / tau_q, axis=1)
        sums.append([(weights * (a - a.mean(1, keepdims=True))[:, subset]).sum(1).mean() for a in (VALUES, WORTH)])
    np.testing.assert_allclose(picked(VALUES, WORTH, 3, tau_q, num_subsets=40_000), np.mean(sums, axis=0), atol=0.02)


def test_true_values_keep_their_promise_and_noise_keeps_none():
    truth = RNG.normal(size=(400, 32))
    promised, delivered = picked(truth, truth, 16)
    assert promised == delivered > 1.5
    promised, delivered = picked(RNG.normal(size=(400, 32)), truth, 16)
    assert promised > 1.5 and abs(delivered) < 0.1


def test_counts_out_of_range_are_user_errors():
    for num in (0, 9):
        with pytest.raises(UserError, match=f"{num}: expected 1 to 8"):
            picked(VALUES, WORTH, num)


def test_rank_correlation_is_scipys():
    values, worth = np.round(VALUES, 1), np.round(WORTH, 1)  # with ties
    expected = [scipy.stats.spearmanr(v, w).statistic for v, w in zip(values, worth, strict=True)]
    np.testing.assert_allclose(rank_correlation(values, worth), expected)
    assert rank_correlation(np.ones((1, 4)), worth[:1, :4]) == 0


def test_the_reliable_share_is_that_of_the_variance_components():
    truth, noise = 2.0 * RNG.normal(size=(500, 20, 1)), RNG.normal(size=(500, 20, 4))
    assert reliable_share(truth + noise) == pytest.approx(4 / (4 + 1 / 4), abs=0.01)
    assert reliable_share(noise) < 0.05 and reliable_share(np.ones((2, 3, 4))) == 0
