"""Own tasks: units of actions, equality, what travels, and the table that describes them."""

import functools
from dataclasses import replace

import cloudpickle
import numpy as np
import own
import pytest
from gymnasium.spaces import Box

from evor_eqx.data.bounds import ActionBounds
from evor_eqx.data.custom import CustomTask, custom_task
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.errors import UserError


def line_task(name: str = "line", **changes) -> CustomTask:
    train, validation = own.datasets(changes.pop("seed", 0))
    return custom_task(name, train, validation, **{"make_env": own.line, "gamma": 0.9, **changes})


@pytest.mark.parametrize("value", [(-2.0, 0.0), (0.3, 0.25), (2.0, 0.5)])
def test_bounds_map_to_minus_one_and_one_and_back(value):
    bounds = ActionBounds.of(own.LOW, own.HIGH)
    unit = bounds.to_unit(np.array(value))
    np.testing.assert_allclose(unit, [value[0] / 2, (value[1] - 0.25) / 0.25], atol=1e-6)
    np.testing.assert_allclose(bounds.to_env(unit), value, atol=1e-6)


def test_actions_never_leave_the_bounds_by_rounding():
    bounds = ActionBounds.of(-0.1, 0.7)
    unit = np.linspace(-1, 1, 10_001, dtype=np.float32)[:, None]
    acts = bounds.to_env(unit)
    assert acts.min() >= np.float32(-0.1) and acts.max() <= np.float32(0.7)
    chunks = bounds.chunks_to_env(unit.reshape(-1, 1)[:10].reshape(2, 5))
    np.testing.assert_array_equal(chunks, bounds.to_env(unit[:10]).reshape(2, 5))


def test_models_see_actions_in_minus_one_to_one_and_the_user_those_of_the_environment():
    task = line_task()
    assert (task.bounds.low, task.bounds.high) == (own.LOW, own.HIGH)
    seen = task.source.rows["train"].act
    assert np.abs(seen).max() <= 1 and np.abs(seen[:, 1]).max() > 0.5
    assert task.train.act[:, 1].min() >= 0  # as they were given


@pytest.mark.parametrize("bounds", [None, (-np.inf, np.inf), ((-2.0, -np.inf), (2.0, np.inf))])
def test_where_there_is_no_bound_the_range_of_the_data_counts_and_the_table_says_so(bounds):
    train, validation = own.datasets()
    task = custom_task("line", train, validation, gamma=0.9, bounds=bounds)
    both = np.concatenate([train.act, validation.act])
    np.testing.assert_allclose(task.bounds.low[1], both[:, 1].min())
    np.testing.assert_allclose(task.bounds.high[1], both[:, 1].max())
    assert "range of the data" in str(task.describe()) and not task.has_env
    with pytest.raises(UserError, match="no environment"):
        task.make_env()


def test_a_coordinate_that_never_varies_is_mapped_to_zero():
    arrays = own.record(2, 0)
    arrays["actions"][:, 1] = 0.25
    data = OfflineDataset.from_arrays(**arrays)
    task = custom_task("line", data, data, gamma=0.9)
    assert (task.source.rows["train"].act[:, 1] == 0).all()
    np.testing.assert_array_equal(task.bounds.to_env(np.linspace(-1, 1, 10).reshape(5, 2))[:, 1], np.float32(0.25))


def test_a_coordinate_with_one_value_in_the_environment_keeps_it():
    class Fixed(own.Line):
        action_space = Box(np.array([-2.0, 0.0]), np.array([2.0, 0.0]), dtype=np.float64)

    arrays = [own.record(2, seed) for seed in (0, 1)]
    for each in arrays:
        each["actions"][:, 1] = 0.0
    task = custom_task("line", *(OfflineDataset.from_arrays(**each) for each in arrays), make_env=Fixed, gamma=0.9)
    assert (task.bounds.low, task.bounds.high) == ((-2.0, 0.0), (2.0, 0.0))
    assert (task.bounds.to_env(np.ones((1, 2)))[:, 1] == 0).all()


def test_bounds_in_double_precision_are_not_left_by_actions_in_single_precision():
    low, high = np.array([-0.1, -0.7]), np.array([0.3, 0.9])
    bounds = ActionBounds.of(low, high)
    for end in (-1.0, 1.0):
        act = bounds.to_env(np.full(2, end)).astype(np.float64)
        assert (act >= low).all() and (act <= high).all()
        np.testing.assert_allclose(act, low if end < 0 else high, rtol=1e-6)


def test_tasks_are_equal_by_data_discount_and_environment():
    task = line_task()
    assert task == line_task() and hash(task) == hash(line_task())
    others = [
        line_task("other"),
        line_task(gamma=0.8),
        line_task(seed=7),
        line_task(make_env=functools.partial(own.Line, 30)),
        line_task(make_env=None, bounds=((-3.0, 0.0), (3.0, 0.5))),
    ]
    assert all(task != other for other in others)
    assert len({task, *others}) == 6


def test_a_changed_value_of_the_data_changes_the_fingerprint():
    task = line_task()
    for name in ("obs", "act", "reward"):
        changed = getattr(task.train, name).copy()
        changed[3] += 0.01
        other = custom_task(
            "line", replace(task.train, **{name: changed}), task.validation, make_env=own.line, gamma=0.9
        )
        assert other.source.fingerprint != task.source.fingerprint


def test_only_the_maker_of_the_environment_travels():
    task = line_task()
    assert len(cloudpickle.dumps(task.make_env)) < 2000 < task.train.num_bytes


def test_the_table_tells_episodes_steps_returns_and_bounds():
    task = line_task(reference_returns=(-50.0, 0.0))
    text, page = str(task.describe()), task.describe()._repr_html_()
    returns = [np.sum(task.train.reward[start : start + 20]) for start in range(0, 126, 21)]
    for expected in ("6", "120", "20 to 20", f"{np.median(returns):.4g}", "0 ; 6 were cut".replace(" ;", ";")):
        assert expected in text and expected in page
    assert "<table" in page and "validation" in page


def test_the_bounds_of_returns_are_those_of_the_rewards_of_both_splits():
    task = line_task()
    rewards = np.concatenate([split.reward[split.transitions] for split in (task.train, task.validation)])
    low, high = task.return_bounds
    assert low == pytest.approx(min(0, rewards.min() / 0.1)) and high == pytest.approx(max(0, rewards.max() / 0.1))
    assert low < high
