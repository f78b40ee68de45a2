"""Which recorded returns are known, against a naive loop. The returns themselves are in `test_dataset`."""

import numpy as np
import pytest

from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.returns import KNOWN_WEIGHT, known_rows, steps_to_know


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
