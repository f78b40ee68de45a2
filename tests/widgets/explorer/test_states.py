"""States to look at: what was recorded near them, and states that do not exist."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import TASK, tiny_exhibit

from evor_eqx.errors import UserError
from evor_eqx.widgets.explorer.states import NUM_NEIGHBOURS, StateFinder
from evor_eqx.zoo.exhibits import States


@pytest.fixture(scope="module")
def finder():
    return StateFinder(tiny_exhibit())


def test_a_held_out_state_comes_with_its_own_chunk_and_the_returns_of_its_neighbours(finder):
    exhibit = finder.exhibit
    state = finder.at_state(3)
    row = exhibit.states.rows[3]
    np.testing.assert_array_equal(state.obs, exhibit.dataset.obs[row])
    np.testing.assert_array_equal(state.data_chunk, exhibit.dataset.act[row : row + 5].ravel())
    # by a naive loop: the nearest rows, in units of the data's spread, among those early in their episode
    std = exhibit.dataset.obs.std(axis=0)
    early = [r for r in range(2402) if TASK.gamma ** (exhibit.dataset.last_row[r] - r) <= 0.01]
    nearest = sorted(early, key=lambda r: np.linalg.norm((exhibit.dataset.obs[r] - state.obs) / std))
    returns = [sum(TASK.gamma**k * exhibit.dataset.reward[r + k] for k in range(_steps(exhibit, r))) for r in nearest]
    np.testing.assert_allclose(state.recorded.recorded, returns[:NUM_NEIGHBOURS], rtol=1e-4)
    assert (state.recorded.high - state.recorded.low).max() <= 1.001  # 1 % of the range of 100
    steps = _steps(exhibit, row)
    assert state.own.recorded == pytest.approx(
        sum(TASK.gamma**k * exhibit.dataset.reward[row + k] for k in range(steps))
    )
    ended = exhibit.dataset.mask[row + steps - 1] == 0
    assert state.own.is_complete == ended and (state.own.low < state.own.high) == (not ended)


def _steps(exhibit, row):
    """Until the task or the recording ends."""
    last = exhibit.dataset.last_row[row]
    ended = np.flatnonzero(exhibit.dataset.mask[row:last] == 0)
    return ended[0] + 1 if len(ended) else last - row


def test_the_last_rows_of_an_episode_hold_no_whole_chunk(finder):
    index = int(np.flatnonzero(finder.exhibit.states.rows > 1200)[0]) - 1  # rows are 25 apart: the last one is 1175
    assert finder.at_state(index).data_chunk is not None
    assert finder.at_obs(np.zeros(2), "here").data_chunk is None


def test_a_chunk_of_the_data_ends_before_the_last_action_of_an_episode_which_leads_nowhere():
    exhibit = tiny_exhibit()
    late = StateFinder(replace(exhibit, states=States(np.arange(1190, 1200), {})))  # row 1200 is the last one
    for index, row in enumerate(range(1190, 1200)):
        taken = [exhibit.dataset.act[k] for k in range(row, row + 5) if k < 1200]
        chunk = late.at_state(index).data_chunk
        assert (chunk is None) == (len(taken) < 5)
        assert chunk is None or np.array_equal(chunk, np.ravel(taken))


@pytest.mark.parametrize("place", [(-4.0, -4.0), (100.0, 0.0), (-30.0, 2.0)])
def test_a_place_in_a_wall_or_outside_is_refused(finder, place):
    with pytest.raises(UserError, match="inside a wall or outside"):
        finder.at_place(*place)


def test_the_goal_and_the_corner_of_its_cell_are_places(finder):
    x, y = finder.layout.goal
    assert finder.at_place(x, y).name.startswith("place")
    half = finder.layout.unit / 2 - 0.01
    finder.at_place(np.round(x / 4) * 4 + half, np.round(y / 4) * 4 - half)


@pytest.mark.parametrize("index", [-1, 10_000])
def test_a_state_that_is_not_there_is_refused(finder, index):
    with pytest.raises(UserError, match="expected 0 to"):
        finder.at_state(index)
