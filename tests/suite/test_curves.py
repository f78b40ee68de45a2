"""Curves from the results, against counts of the rows that belong to them."""

import math

import pytest
from suite.test_results import make_row

from evor_eqx.evaluation.statistics import wilson_interval
from evor_eqx.suite.curves import against_setting, against_updates, seconds_per_update
from evor_eqx.suite.tables import ALL

MAZE = "pointmaze-medium-navigate-singletask-task{}-v0"
ARM = "cube-single-play-singletask-task{}-v0"


def make_rows() -> list:
    """Two tasks of a maze with two seeds and one of an arm: N_pi everywhere, more on the first tasks."""
    rows = []
    for task, seeds, tau_q in (
        (MAZE.format(1), (0, 1), 0.1),
        (MAZE.format(2), (0, 1), 0.1),
        (ARM.format(1), (0,), 0.3),
    ):
        for seed in seeds:
            facts = {"task": task, "seed": seed, "tau_q": tau_q}
            rows += [make_row(**facts, success=0.02 * (40 + seed), step=step) for step in (80, 90, 100)]
            rows += [make_row(**facts, success=0.3, num_candidates=n, step=100, reported=0) for n in (1, 8)]
            if "task1" in task:
                rows += [make_row(**facts, success=0.1 * seed, step=10, reported=0)]
                rows += [make_row(**(facts | {"tau_q": 10.0}), success=0.2, step=100, reported=0)]
                rows += [make_row(**facts, success=0.4, tau_r=math.inf, step=100, reported=0)]
    rows += [make_row(task=MAZE.format(1), method="base", success=1.0, num_candidates=n, step=100) for n in (1, 2)]
    return rows


def test_a_curve_over_a_setting_pools_the_episodes_of_all_tasks_at_the_end_of_training():
    curves = against_setting(make_rows(), "evor", "num_candidates")
    assert list(curves) == ["cube-single", "pointmaze-medium", ALL]
    assert list(curves["pointmaze-medium"]) == [1.0, 8.0, 32.0]
    assert curves["pointmaze-medium"][8.0] == wilson_interval(4 * 15, 4 * 50)
    assert curves["pointmaze-medium"][32.0] == wilson_interval(2 * 40 + 2 * 41, 4 * 50)
    assert curves["cube-single"][32.0] == wilson_interval(40, 50)
    assert curves[ALL][32.0] == wilson_interval(3 * 40 + 2 * 41, 5 * 50)


@pytest.mark.parametrize(("name", "value", "successes"), [("tau_q", 10.0, 10), ("tau_r", math.inf, 20)])
def test_a_temperature_is_that_of_the_tasks_on_which_it_was_moved(name, value, successes):
    curves = against_setting(make_rows(), "evor", name)
    assert curves["pointmaze-medium"][value] == wilson_interval(2 * successes, 2 * 50)
    reported = {"tau_q": 0.1, "tau_r": 3.0}[name]
    assert curves["pointmaze-medium"] == {
        reported: wilson_interval(40 + 41, 2 * 50),
        value: curves["pointmaze-medium"][value],
    }


def test_over_all_environments_a_curve_has_the_values_that_each_of_them_has():
    curves = against_setting(make_rows(), "evor", "tau_q")
    assert [list(curves[place]) for place in ("cube-single", "pointmaze-medium")] == [[0.3, 10.0], [0.1, 10.0]]
    assert curves[ALL] == {10.0: wilson_interval(3 * 10, 3 * 50)}


def test_progress_is_that_of_the_jobs_whose_early_checkpoints_were_evaluated():
    curves = against_updates(make_rows(), "evor")
    assert list(curves["pointmaze-medium"]) == [10.0, 80.0, 90.0, 100.0]
    assert curves["pointmaze-medium"][10.0] == wilson_interval(0 + 5, 2 * 50)
    assert curves["pointmaze-medium"][90.0] == wilson_interval(40 + 41, 2 * 50)
    assert curves[ALL][80.0] == wilson_interval(40 + 40 + 41, 3 * 50)
    assert against_updates(make_rows(), "base") == {}


def test_a_task_with_one_early_checkpoint_does_not_join_the_progress_of_those_with_all():
    rows = [
        *make_rows(),
        *(make_row(task=MAZE.format(1), seed=s, tau_q=0.1, success=0.2, step=20, reported=0) for s in (0, 1)),
    ]
    rows += [make_row(task=ARM.format(1), tau_q=0.3, success=0.2, step=20, reported=0)]
    other = make_row(task=MAZE.format(2), tau_q=0.1, success=0.0, step=20, reported=0)
    assert against_updates([*rows, other], "evor") == against_updates(rows, "evor")


def test_an_environment_with_other_updates_does_not_join_the_progress_of_most():
    steps = {20: 0, 160: 1, 180: 1, 200: 1}  # as many checkpoints as the others have
    task = "scene-play-singletask-task1-v0"
    other = [make_row(task=task, success=0.5, step=step, reported=reported) for step, reported in steps.items()]
    assert against_updates([*other, *make_rows()], "evor") == against_updates(make_rows(), "evor")
    assert list(against_updates(other, "evor")["scene"]) == [20.0, 160.0, 180.0, 200.0]


def test_seconds_per_update_are_the_mean_of_a_methods_rows():
    rows = [make_row(step=step) for step in (100, 200)]  # 123.4 s each
    assert seconds_per_update([*rows, make_row(method="base", step=1)], "evor") == pytest.approx(123.4 * 0.0075)
