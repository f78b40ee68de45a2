"""Numbers in texts about what was trained: each is that of a committed figure's sidecar.

A line of `claims` is a piece of text as it must stand in the file, with the numbers put in from the sidecar.
"""

import numpy as np
import pytest
from sidecars import MAZE_TASK, ROOT, numbers, percent, text_of

LESSONS = "notebooks/course"


def claims():
    """Pairs of a file and of what it says."""
    base = numbers("base-policy-success")
    assert base["maze"]["estimate"] == 0
    arm = percent(base["arm"]["estimate"])
    yield f"{LESSONS}/02_base_policy.ipynb", f"it solved none of 50 episodes on the maze and {arm} % for the arm"

    learning, lesson = numbers("targets-learning"), f"{LESSONS}/04_flow_td_targets.ipynb"
    first = {name: np.median(learning[name]["updates_to_4_percent"]) for name in ("coupled", "bootstrap")}
    with_variate, without = (100 * np.median(learning[f"coupled lambda={share}"]["w1"]) for share in (1, 0))
    yield lesson, f"`coupled` reaches 4 % after {first['coupled']:.0f} updates and `bootstrap` after"
    yield lesson, f"and `bootstrap` after {first['bootstrap']:.0f} (medians of five seeds)"
    yield lesson, f"($W_1$ {with_variate:.1f} % against {without:.1f} %)"
    yield "notebooks/TEACHING.md", f"(right panel: {with_variate:.1f} % in the end, {without:.1f} % without)"
    mean_error = 100 * np.median(numbers("targets-distributions")["velocity"]["mean_error"])
    yield lesson, f"the mean is off by {mean_error:.1f} % of the range with our $z_t$"

    teaching, at_end = "notebooks/TEACHING.md", numbers("targets-distributions")
    yield teaching, f"The maze 0 %, the arm {arm} %"
    yield teaching, f"`coupled` is there in {first['coupled']:.0f} updates, `bootstrap` in {first['bootstrap']:.0f}"
    w1, soft = ({name: 100 * np.median(row[key]) for name, row in at_end.items()} for key in ("w1", "soft_error"))
    others = [name for name in at_end if name != "velocity"]
    found = [w1[name] for name in others]
    yield teaching, f"{min(found):.1f} to {max(found):.1f} % of the range for all but `velocity`"
    worst = max(soft[name] for name in others)
    yield teaching, f"off by {soft['velocity']:.1f} % of the range, of the others by at most {worst:.1f} %"
    worth = 10 * round(numbers("flow-quantiles")["worth_of_8_mid_quantiles"] / 10)
    yield teaching, f"8 stratified atoms are worth some {worth} random draws"
    yield teaching, f"{numbers('decision')['effective_candidates']:.1f} of 32 at the held-out state"
    sweeps = numbers("success-vs-temperatures")
    maze, arm = (percent(sweeps[f"{name} tau_r"]["inf"]["estimate"]) for name in ("maze", "arm"))
    yield teaching, f"(`success-vs-temperatures`): maze {maze} %, arm {arm} %"

    unseen, lesson = numbers("unseen-data"), f"{LESSONS}/09_results.ipynb"
    rare, common = (unseen[f"{task} train"]["0"]["visits"] for task in ("cube-double-play-task1", MAZE_TASK))
    yield lesson, f"this task's {rare} times. A million rows of this notebook's maze come to its goal {common} times"
    counts = numbers("distribution-counts")
    lost = [100 * (seed["cube-double"]["4.0"][0] - seed["cube-double"]["inf"][0]) for seed in counts["tau_r"]]
    assert len(lost) == 3
    yield lesson, f"the mean costs every seed more than {10 * (min(lost) // 10):.0f} points"
    yield teaching, f"each of three seeds loses more than {10 * (min(lost) // 10):.0f} points"
    slower = counts["cost"]["cube-double evor_best4"][1] / counts["cost"]["cube-double evor"][1]
    yield lesson, f"Backups of the best of four draws take {slower:.1f} times as long"
    for setting, by_num in numbers("success-vs-candidates").items():
        cells = [by_num[name] for name in sorted(by_num, key=lambda name: int(name.removeprefix("N_pi=")))]
        row = [f"{percent(cell['estimate'])} ({percent(cell['low'])}–{percent(cell['high'])})" for cell in cells]
        task, rest = setting.split(", ", 1)
        yield "docs/results.md", f"| `{task}`, {rest} | {' | '.join(row)} |"


@pytest.mark.parametrize("file, said", claims())
def test_a_number_in_a_text_is_that_of_the_figure(file, said):
    assert said in text_of(ROOT / file)


def test_what_lesson_09_says_of_critics_on_cube_double_is_so():
    cost = {name.removeprefix("cube-double "): value for name, value in numbers("distribution-counts")["cost"].items()}
    success, seconds = ({name: value[place] for name, value in cost.items()} for place in (0, 1))
    by_the_mean = [seed["cube-double"]["inf"][0] for seed in numbers("distribution-counts")["tau_r"]]
    assert min(by_the_mean) <= success["scalar"] <= max(by_the_mean)  # "is as low as EVOR by its mean"
    assert success["gaussian"] >= success["evor"] and 0.5 < seconds["gaussian"] / seconds["evor"] < 0.6
    assert success["c51"] < success["evor"]
    assert cost["pointmaze-medium scalar"][0] == cost["pointmaze-medium evor"][0]
    assert cost["pointmaze-medium scalar"][1] < cost["pointmaze-medium evor"][1]
    assert cost["pointmaze-large scalar"][0] < cost["pointmaze-large evor"][0]
