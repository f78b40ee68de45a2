"""Which recorded returns are known, against a naive loop. The returns themselves are in `test_dataset`."""

import numpy as np
import pytest

from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.returns import KNOWN_WEIGHT, known_rows, recorded_returns, reward_range, steps_to_know
from evor_eqx.envs.return_bounds import ReturnBounds


def dataset(num_rows=200, ended_at=50):
    valids, masks = np.ones(num_rows), np.ones(num_rows)
    valids[-1], masks[ended_at] = 0, 0
    arrays = {"observations": np.zeros((num_rows, 2)), "actions": np.zeros((num_rows, 1)), "valids": valids}
    return OfflineDataset.from_compact({**arrays, "rewards": -np.ones(num_rows), "masks": masks})


@pytest.mark.parametrize("ended_at", [50, 190])
def test_known_rows_are_chosen_by_time_whether_or_not_the_task_was_solved(ended_at):
    data, gamma, tolerance = dataset(ended_at=ended_at), 0.95, 0.05
    expected = [
        row
        for row in range(199)
        if gamma ** (199 - row) <= tolerance  # 199 - row steps of weight gamma each remain
    ]
    np.testing.assert_array_equal(known_rows(data, gamma, tolerance), expected)


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.95, 0.98, 0.99])
def test_the_steps_that_must_follow_are_those_of_the_last_known_row(gamma):
    (last,) = known_rows(dataset(num_rows=500), gamma)[-1:]
    assert steps_to_know(gamma) == 499 - last
    assert gamma ** steps_to_know(gamma) <= KNOWN_WEIGHT < gamma ** (steps_to_know(gamma) - 1)


def test_recorded_returns_are_complete_up_to_the_tasks_end_and_censored_behind_it():
    gamma = 0.95
    returns = recorded_returns(dataset(ended_at=50), gamma)
    np.testing.assert_allclose(returns.low[:51], [-(1 - gamma ** (51 - row)) / (1 - gamma) for row in range(51)], 1e-5)
    assert returns.is_complete[:51].all() and not returns.is_complete[51:].any()
    # The reward is always -1: standing still for ever is worth -20, the end at once as much as was recorded.
    np.testing.assert_allclose(returns.low[51:], -20, rtol=1e-5)
    np.testing.assert_allclose(returns.high[51:], -(1 - gamma ** (199 - np.arange(51, 200))) / (1 - gamma), 1e-5)


def test_the_tasks_bounds_take_the_place_of_the_datas():
    returns = recorded_returns(dataset(), 0.95, ReturnBounds(-100.0, 40.0))
    assert returns.low[199] == -100 and returns.high[199] == 40


def test_the_rewards_of_last_rows_are_none():
    data = dataset(num_rows=5, ended_at=2)
    data.reward[:] = [1, -2, 3, 1, 99]
    assert reward_range(data) == (-2, 3)
