"""Censored returns, against closed forms of a constant reward and a naive enumeration of what may have followed."""

import itertools

import numpy as np
import pytest

from evor_eqx.data.censoring import CensoredReturns, cdf_band, interval_text
from evor_eqx.envs.return_bounds import ReturnBounds, return_bounds

GAMMA = 0.9


@pytest.mark.parametrize(
    ("least", "largest", "expected"), [(-1.0, 0.0, (-10, 0)), (-2.0, -1.0, (-20, 0)), (1.0, 3.0, (0, 30))]
)
def test_every_return_lies_between_the_geometric_sums_and_zero_is_one_of_them(least, largest, expected):
    np.testing.assert_allclose(return_bounds(least, largest, GAMMA), expected)


def test_the_interval_is_that_of_all_continuations():
    """Rewards -1 or 0 for 12 more steps, all 4096 ways; what follows these weighs gamma^15."""
    recorded = np.array([-1.0, 0.0, -1.0])
    returns = CensoredReturns(
        np.array([recorded @ GAMMA ** np.arange(3)]), np.array([GAMMA**3]), return_bounds(-1.0, 0.0, GAMMA)
    )
    rests = np.array(list(itertools.product([-1.0, 0.0], repeat=12))) @ GAMMA ** np.arange(3, 15)
    wholes = returns.recorded[0] + rests
    missing = GAMMA**15 / (1 - GAMMA)
    assert wholes.max() == pytest.approx(returns.high[0])
    assert wholes.min() - missing == pytest.approx(returns.low[0])


def test_a_return_is_complete_where_the_task_ended_whatever_the_bounds():
    returns = CensoredReturns(np.array([-3.0, -3.0]), np.array([0.0, 0.5]), ReturnBounds(-10.0, 4.0))
    assert returns.is_complete.tolist() == [True, False] and returns.num_cut == 1
    assert returns.text == "1 complete, 1 cut off"
    assert returns.low.tolist() == [-3, -8] and returns.high.tolist() == [-3, -1]
    assert interval_text(returns.at(0)) == "-3.0" and interval_text(returns.at(1)) == "-8.0 to -1.0"


def test_the_mean_lies_between_the_means_of_the_ends():
    returns = CensoredReturns(
        np.array([[-3.0, -3.0], [0.0, 1.0]]), np.array([[0.0, 0.5], [1, 1]]), ReturnBounds(-10, 4)
    )
    np.testing.assert_allclose(returns.mean(axis=1).low, returns.low.mean(axis=1))
    np.testing.assert_allclose(returns.mean().high, returns.high.mean())
    assert not returns.mean().is_complete and returns.at(np.array([0])).mean(axis=1).num_cut == 1


@pytest.mark.parametrize("weights", [(0.0, 0.0, 0.0), (0.5, 0.0, 0.1)])
def test_the_band_lies_between_the_distribution_functions_of_both_ends(weights):
    returns = CensoredReturns(np.array([-3.0, -1.0, -2.0]), np.array(weights), ReturnBounds(-10.0, 4.0))
    corners, edges = cdf_band(returns)
    parts = np.split(edges, np.flatnonzero(np.isnan(edges[:, 0])))
    assert len(parts) == (2 if returns.num_cut else 1) and len(corners)
    for part, returns_at_end in zip(parts, (returns.low, returns.high), strict=False):
        part = part[~np.isnan(part[:, 0])]
        for at in np.linspace(-9.05, 3.95, 40):
            inside = part[part[:, 0] <= at]
            assert (inside[-1, 1] if len(inside) else 0) == pytest.approx(np.mean(returns_at_end <= at))
