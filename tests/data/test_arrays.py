"""Own arrays in all layouts become the same rows; what follows an end is checked against naive loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.evaluation.held_out import known_rows

GAMMA = 0.9


def steps(lengths, ended):
    """One row for each step: obs = (episode, step), act = 10 episode + step, reward = step + 1."""
    episode = np.repeat(np.arange(len(lengths)), lengths)
    step = np.concatenate([np.arange(length) for length in lengths])
    is_last = np.concatenate([np.arange(length) == length - 1 for length in lengths])
    by_task = is_last & np.asarray(ended)[episode]
    return {
        "observations": np.stack([episode, step], axis=1).astype(float),
        "actions": (10 * episode + step)[:, None].astype(float),
        "rewards": step + 1.0,
        "next_observations": np.stack([episode, step + 1], axis=1).astype(float),
        "terminals": by_task,
        "timeouts": is_last & ~by_task,
    }


def in_ogbench_layout(arrays):
    """The same steps with OGBench's flags: `terminals` at each end, `masks` 0 where the task ended."""
    others = {name: array for name, array in arrays.items() if name not in ("terminals", "timeouts")}
    return others | {"terminals": arrays["terminals"] | arrays["timeouts"], "masks": 1.0 - arrays["terminals"]}


def in_compact_layout(arrays):
    """The same steps with a row for the state after each episode."""
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"]) + 1
    rows = {
        name: np.insert(arrays[name], ends, arrays[name][ends - 1], axis=0)
        for name in ("observations", "actions", "rewards")
    }
    added = ends + np.arange(len(ends))
    rows["observations"][added] = arrays["next_observations"][ends - 1]
    valids = np.ones(len(rows["rewards"]))
    valids[added] = 0
    return rows | {"valids": valids, "masks": np.insert(1.0 - arrays["terminals"], ends, 1.0)}


@pytest.mark.parametrize("layout", [in_ogbench_layout, in_compact_layout])
def test_all_layouts_give_the_same_transitions(layout):
    arrays = steps((4, 1, 3), (True, False, False))
    expected, got = OfflineDataset.from_arrays(**arrays), OfflineDataset.from_arrays(**layout(arrays))
    np.testing.assert_array_equal(expected.transitions, got.transitions)
    rows = expected.transitions
    for name in ("obs", "act", "last_row", "ended"):
        np.testing.assert_array_equal(getattr(expected, name), getattr(got, name))
    for name in ("reward", "mask"):
        np.testing.assert_array_equal(getattr(expected, name)[rows], getattr(got, name)[rows])


@pytest.mark.parametrize("ended", [(True, True), (False, False), (True, False)])
def test_every_step_is_a_transition_to_its_next_state(ended):
    arrays = steps((4, 3), ended)
    dataset = OfflineDataset.from_arrays(**arrays)
    rows = dataset.transitions
    np.testing.assert_array_equal(dataset.obs[rows], arrays["observations"])
    np.testing.assert_array_equal(dataset.obs[rows + 1], arrays["next_observations"])
    np.testing.assert_array_equal(dataset.given_row[rows], np.arange(7))
    np.testing.assert_array_equal(dataset.mask[rows], 1.0 - arrays["terminals"])


def test_without_next_states_a_step_before_a_time_limit_is_left_out_and_one_before_the_end_is_kept():
    arrays = steps((4, 3), (True, False))
    del arrays["next_observations"]
    dataset = OfflineDataset.from_arrays(**arrays)
    np.testing.assert_array_equal(dataset.given_row[dataset.transitions], [0, 1, 2, 3, 4, 5])
    assert dataset.reward[dataset.transitions].tolist() == [1, 2, 3, 4, 1, 2]


episodes = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=4)


@given(episodes=episodes, num_steps=st.integers(1, 6), chunk_length=st.integers(1, 3))
def test_n_step_rewards_are_the_naive_sums_and_reach_the_end_of_the_task(episodes, num_steps, chunk_length):
    num_steps = max(num_steps, chunk_length)
    lengths, ended = zip(*episodes, strict=True)
    dataset = OfflineDataset.from_arrays(**steps(lengths, ended))
    reward, mask, next_row = dataset.n_step(num_steps, GAMMA, chunk_length)
    for row in dataset.transitions:
        last = dataset.last_row[row]
        by_task = dataset.ended[row]
        furthest = last if by_task else max(last - chunk_length + 1, row)
        taken = min(num_steps, furthest - row)
        assert next_row[row] == row + taken
        expected = sum(GAMMA**k * dataset.reward[row + k] for k in range(taken))
        assert reward[row] == pytest.approx(expected, rel=1e-5)
        assert mask[row] == (0.0 if by_task and row + taken == last else 1.0)


@pytest.mark.parametrize("chunk_length", [1, 2, 5])
def test_chunks_after_the_end_of_the_task_repeat_its_last_action(chunk_length):
    dataset = OfflineDataset.from_arrays(**steps((4, 1), (True, True)))
    windows = dataset.windows(gamma=GAMMA, chunk_length=chunk_length)
    starts = np.asarray(windows.starts)
    np.testing.assert_array_equal(starts, dataset.transitions)  # every step, also the only one of an episode
    batch = windows.at(starts, np.zeros_like(starts))
    for row, chunk in zip(starts, np.asarray(batch.chunk), strict=True):
        last = dataset.last_row[row]
        assert chunk.tolist() == [float(dataset.act[min(row + k, last), 0]) for k in range(chunk_length)]
    assert np.asarray(batch.valid).all()


@given(episodes=episodes, chunk_length=st.integers(1, 4))
def test_windows_of_cut_episodes_lie_inside_and_all_windows_see_every_reward_of_an_ended_one(episodes, chunk_length):
    lengths, ended = zip(*episodes, strict=True)
    dataset = OfflineDataset.from_arrays(**steps(lengths, ended))
    inside = [
        row for row in dataset.transitions if dataset.ended[row] or row + 2 * chunk_length - 1 <= dataset.last_row[row]
    ]
    if inside:
        windows = dataset.windows(gamma=GAMMA, chunk_length=chunk_length)
        np.testing.assert_array_equal(windows.starts, inside)


def test_returns_are_known_where_the_task_ended_in_every_episode():
    ended, cut = (OfflineDataset.from_arrays(**steps((4, 3), (by_task,) * 2)) for by_task in (True, False))
    np.testing.assert_array_equal(known_rows(ended, GAMMA), ended.transitions)
    assert len(known_rows(cut, GAMMA)) == 0  # 0.9^4 of the weight lies behind the cut
    returns, weights = ended.mc_returns(GAMMA)
    assert (weights[ended.transitions] == 0).all()
    assert returns[0] == pytest.approx(1 + 2 * GAMMA + 3 * GAMMA**2 + 4 * GAMMA**3)


def test_double_precision_and_integers_become_single_precision():
    arrays = steps((4,), (True,))
    arrays["rewards"] = np.arange(4, dtype=np.int64)
    dataset = OfflineDataset.from_arrays(**arrays)
    assert {dataset.obs.dtype, dataset.act.dtype, dataset.reward.dtype} == {np.dtype(np.float32)}


def test_the_inverse_of_the_compact_layout():
    dataset = OfflineDataset.from_arrays(**steps((4, 3), (True, False)))
    again = OfflineDataset.from_compact(dataset.to_compact())
    for name in ("obs", "act", "reward", "mask", "last_row", "ended"):
        np.testing.assert_array_equal(getattr(dataset, name), getattr(again, name))


def test_pieces_keep_where_the_task_ended(monkeypatch):
    monkeypatch.setattr("evor_eqx.data.dataset.PIECE_ROWS", 5)
    dataset = OfflineDataset.from_arrays(**steps((4, 3, 5, 2), (True, False, True, True)))
    whole = OfflineDataset.from_arrays(**steps((4, 3, 5, 2), (True, False, True, True)))
    assert len(dataset.pieces) > 1
    monkeypatch.undo()
    for got, expected in zip(dataset.n_step(3, GAMMA, 2), whole.n_step(3, GAMMA, 2), strict=True):
        np.testing.assert_array_equal(got, expected)
