"""Means over tasks and environments: against loops over the rows, and refusals of what cannot be compared."""

import re
from pathlib import Path

import numpy as np
import pytest
from suite.test_results import make_row

from evor_eqx.errors import UserError
from evor_eqx.evaluation.statistics import iqm
from evor_eqx.suite.results import read_results
from evor_eqx.suite.tables import ALL, at_equal_time, by_method, common, markdown, outcomes, summary

ROOT = Path(__file__).parents[2]

TASKS = [f"{env}-singletask-task{n}-v0" for env in ("cube-single-play", "pointmaze-medium-navigate") for n in (1, 2)]


def make_rows(methods=("base", "evor"), seeds=(0, 1, 2)) -> list:
    """Every job with three checkpoints, and a row of a curve that must not count."""
    rng, rows = np.random.default_rng(0), []
    for task in TASKS:
        for method in methods:
            for seed in seeds:
                made = [make_row(task, method, seed, rng.integers(51) / 50, step=step) for step in (80, 90, 100)]
                rows += [*made, make_row(task, method, seed, 0.0, num_candidates=2, step=100, reported=0)]
    return rows


def value(rows, task, method, seed) -> float:
    """A job's mean success over its checkpoints, by a loop."""
    found = [r.success for r in rows if r.case.job == (task, method, seed) and r.case.num_candidates == 32]
    return sum(found) / len(found)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_means_are_those_of_loops_over_the_rows(seeds):
    rows = make_rows(seeds=seeds)
    table = summary(rows)
    for method in ("base", "evor"):
        values = {task: [value(rows, task, method, seed) for seed in seeds] for task in TASKS}
        assert list(table[method]) == ["cube-single", "pointmaze-medium", ALL]
        for name, tasks in (("cube-single", TASKS[:2]), ("pointmaze-medium", TASKS[2:]), (ALL, TASKS)):
            interval = table[method][name]
            assert interval.estimate == pytest.approx(np.mean([values[task] for task in tasks]))
            assert interval.low < interval.estimate < interval.high
    assert summary(rows, iqm)["evor"][ALL].estimate == pytest.approx(
        iqm(np.array([[value(rows, task, "evor", seed) for task in TASKS] for seed in seeds]))
    )


def test_at_equal_time_a_slow_method_reports_its_early_checkpoint_alone():
    steps = {20: 0.0, 37: 0.5, 80: 1.0, 90: 1.0, 100: 1.0}  # 37: the last end of a block at or before 40 %
    rows = [
        make_row(task, method, 0, success, step=step * times, reported=int(step >= 80))
        for method in ("evor", "qc5")
        for step, success in steps.items()
        for task, times in ((TASKS[0], 1), (TASKS[2], 2))  # environments differ in their updates
    ]
    assert {method: values[ALL].estimate for method, values in summary(rows).items()} == {"evor": 1.0, "qc5": 1.0}
    table = summary(at_equal_time(rows))
    assert {method: values[ALL].estimate for method, values in table.items()} == {"evor": 1.0, "qc5": 0.5}


def test_with_several_seeds_the_interval_is_over_seeds_and_with_one_over_its_episodes():
    # Seeds that agree leave no interval; the episodes of one seed do, as wide as the binomial's (1.96 standard errors).
    rows = [make_row(TASKS[0], "evor", seed, 0.5, step=step) for seed in (0, 1) for step in (90, 100)]
    assert summary(rows)["evor"][ALL] == (0.5, 0.5, 0.5)
    low, high = summary([row for row in rows if row.case.seed == 0])["evor"][ALL][1:]
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(0.25 / 50), rel=0.1)  # a percentile of 2000 draws


def test_outcomes_keep_every_jobs_value():
    rows = make_rows()
    values = outcomes(rows)["evor"]
    assert values.shape == (3, 50, 4)
    np.testing.assert_allclose(
        values.mean(axis=1), [[value(rows, task, "evor", seed) for task in TASKS] for seed in (0, 1, 2)]
    )


def test_an_unfinished_suite_is_refused_and_its_common_rows_are_not():
    rows = make_rows(seeds=(0,))
    last = max(rows, key=lambda row: (row.case.task, row.case.method, row.case.reported, row.case.step))
    for partial in (
        [row for row in rows if row != last],  # a checkpoint is missing
        [row for row in rows if row.case.job != last.case.job],  # a job is
    ):
        with pytest.raises(UserError, match=r"1 missing \(pointmaze-medium-navigate-singletask-task2-v0, evor, 0\)"):
            summary(partial)
        assert {row.case.task for row in common(partial)} == set(TASKS[:3])
        assert list(summary(common(partial))) == ["base", "evor"]
    with pytest.raises(UserError, match="no rows, expected those of finished jobs; make them with `evor suite`"):
        summary([])
    with pytest.raises(UserError, match=r"episodes \[20, 50\]"):
        summary([*rows, make_row(TASKS[0], "base", 0, episodes=20, step=70)])


def test_the_table_has_a_row_for_each_environment_and_the_tasks_values_in_their_order():
    rows = make_rows(methods=("evor", "base"), seeds=(0,))
    header, _, arm, maze, means, iqms = markdown(rows).splitlines()
    assert header == "| environment | base | evor |"  # in the order of the methods' own table
    for line, name, tasks in ((arm, "cube-single", TASKS[:2]), (maze, "pointmaze-medium", TASKS[2:])):
        for method, cell in zip(("base", "evor"), line.split(" | ")[1:], strict=True):
            values = [100 * value(rows, task, method, 0) for task in tasks]
            assert line.startswith(f"| {name} | ")
            assert f"**{np.mean(values):.1f}**" in cell and f"): {values[0]:.0f} {values[1]:.0f}" in cell
    assert means.startswith("| mean of 4 tasks | ") and iqms.startswith("| interquartile mean | ")
    assert markdown(make_rows(seeds=(0, 1))).startswith("| environment, 2 seeds | base | evor |")


def test_with_many_methods_they_go_down_and_environments_across():
    rows = make_rows(methods=("scalar", "evor"), seeds=(0, 1))
    header, _, *lines = by_method(rows).splitlines()
    assert header == "| method | cube-single | pointmaze-medium | mean of 4 tasks |"
    for method, line in zip(("evor", "scalar"), lines, strict=True):
        values = [100 * np.mean([value(rows, task, method, seed) for seed in (0, 1)]) for task in TASKS]
        means = (np.mean(values[:2]), np.mean(values[2:]), np.mean(values))
        assert line.startswith(f"| {method} | ") and re.findall(r"\*\*(.*?)\*\*", line) == [f"{m:.1f}" for m in means]


def test_the_tables_of_the_docs_are_those_of_the_committed_results():
    page = (ROOT / "docs" / "suite.md").read_text()
    rows = read_results(ROOT / "figures" / "results" / "suite-laptop.csv")
    tables = []
    for num_seeds, header in re.findall(r"^\| environment(?:, (\d+) seeds)? \| (.*) \|$", page, re.MULTILINE):
        methods, seeds = header.split(" | "), range(int(num_seeds or 1))
        tables.append(markdown(common([row for row in rows if row.case.method in methods and row.case.seed in seeds])))
    for lines in re.findall(r"^\| method \| .* tasks \|\n((?:\|.*\n)+)", page, re.MULTILINE):
        methods = re.findall(r"^\| (\w+) \|", lines, re.MULTILINE)
        tables.append(by_method(common([row for row in rows if row.case.method in methods and row.case.seed == 0])))
    assert len(tables) >= 3 and all(table in page for table in tables)


def test_what_the_longer_discount_brings_on_scene_is_that_of_both_results():
    folder = ROOT / "figures" / "results"
    before, now = (
        [row for row in read_results(folder / name) if row.case.seed == 0 and row.case.environment == "scene"]
        for name in ("suite-laptop-scene-gamma0.99.csv", "suite-laptop.csv")
    )
    page, trials = (" ".join(path.read_text().split()) for path in (ROOT / "docs" / "suite.md", folder / "TRIALS.md"))
    old, new = (
        {method: f"{100 * found[ALL].estimate:.1f}" for method, found in summary(rows).items()}
        for rows in (before, now)
    )
    names = ("evor", "evor_best4", "ifql", "scalar", "c51")
    said = "EVOR had {} % on `scene`, `evor_best4` {}, IFQL {}, scalar {} and C51 {}".format(*(old[m] for m in names))
    assert said in page and "have {}, {}, {}, {} and {}.".format(*(new[method] for method in names)) in page
    assert f"QC-5 had {old['qc5']} and has {new['qc5']}, QC-1 {old['qc1']} and {new['qc1']}." in page
    labels = {"base": "base", "evor": "EVOR", "evor_best4": "EVOR, best of four draws", "qc1": "QC-1", "qc5": "QC-5"}
    labels |= {"ifql": "IFQL", "scalar": "scalar", "c51": "C51"}
    each = [outcomes(before), outcomes(now)]
    for method, label in labels.items():
        was, is_now = (" ".join(f"{100 * v:.0f}" for v in found[method].mean(axis=(0, 1))) for found in each)
        found = summary(now)[method][ALL]
        interval = f"({100 * found.low:.1f} to {100 * found.high:.1f})"
        row = f"| {label} | {old[method]}: {was} | {new[method]} {interval}: {is_now} |"
        assert row in trials.replace("**", "")
