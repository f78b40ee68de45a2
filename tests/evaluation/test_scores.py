"""Bounds of scores, against scipy and against many completions of what was cut off."""

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.envs.return_bounds import ReturnBounds
from evor_eqx.evaluation.scores import wasserstein_bounds


def drawn(random, num, is_cut):
    weights = random.uniform(0, 0.5, num) * (random.random(num) < 0.5) * is_cut
    return CensoredReturns(random.normal(size=num), weights, ReturnBounds(-4.0, 2.0))


@pytest.mark.parametrize("num", [1, 3, 20])
def test_bounds_at_complete_returns_are_scipys_distance(num):
    random = np.random.default_rng(num)
    for _ in range(10):
        atoms, weights, returns = random.normal(size=7), random.dirichlet(np.ones(7)), drawn(random, num, False)
        expected = wasserstein_distance(atoms, returns.recorded, weights)
        assert wasserstein_bounds(atoms, weights, returns) == pytest.approx((expected, expected))


@pytest.mark.parametrize("num", [1, 3, 20])
def test_every_completion_lies_between_the_bounds_and_one_return_reaches_them(num):
    random = np.random.default_rng(num)
    for _ in range(10):
        atoms, weights, returns = random.normal(size=7), random.dirichlet(np.ones(7)), drawn(random, num, True)
        low, high = wasserstein_bounds(atoms, weights, returns)
        shares = [*random.random((50, num)), *random.integers(0, 2, (50, num)), *np.linspace(0, 1, 201)[:, None]]
        found = [
            wasserstein_distance(atoms, returns.low + share * (returns.high - returns.low), weights) for share in shares
        ]
        assert low <= min(found) + 1e-9 and max(found) <= high + 1e-9
        if num == 1:
            assert (min(found), max(found)) == pytest.approx((low, high), abs=0.01)


@pytest.mark.parametrize("num", [1, 3])
def test_a_largest_atom_of_hardly_any_weight_changes_nothing(num):
    """The weights before it sum to the number next to 1, and the level midway between both is rounded to 1."""
    returns = drawn(np.random.default_rng(num), num, False)
    atoms, tiny = np.array([-1.0, 1.0]), 2.0**-53
    assert 1 - tiny < 1 == (1 + (1 - tiny)) / 2
    expected = wasserstein_distance(atoms[:1], returns.recorded)
    assert wasserstein_bounds(atoms, np.array([1 - tiny, tiny]), returns) == pytest.approx((expected, expected))
