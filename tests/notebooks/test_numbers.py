"""Numbers in texts about what was trained: each is that of a committed figure's sidecar.

A line of `claims` is a piece of text as it must stand in the file, with the numbers put in from the sidecar.
"""

import json
from pathlib import Path

import nbformat
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
LESSONS, STUDIES = "notebooks/course", "notebooks/studies"
MAZE_TASK = "pointmaze-medium-navigate-task1"


def text_of(path: Path) -> str:
    """The Markdown of a page, or of a notebook's cells, without line breaks."""
    if path.suffix == ".md":
        return " ".join(path.read_text().split())
    cells = nbformat.read(path, as_version=4).cells
    return " ".join(" ".join(cell.source for cell in cells if cell.cell_type == "markdown").split())


def numbers(figure: str) -> dict:
    return json.loads((ROOT / "figures" / f"{figure}.json").read_text())["numbers"]


def percent(share: float) -> str:
    return f"{100 * share:.0f}"


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
    yield from of_studies()


def of_studies():
    """Likewise, of the notebooks that are no lessons."""
    fields, study = numbers("velocity-architecture"), f"{STUDIES}/10_velocity_architecture.ipynb"
    small, mlp, decision = fields["factorised, head 32"], fields["MLP"], fields["decision_ms"]
    assert small["low"] < mlp["high"]  # "the intervals of the two overlap"
    yield study, f"an update is {mlp['ms_per_update'] / small['ms_per_update']:.1f} times as fast as with the MLP"
    yield study, f"Its $W_1$ is {small['w1']:.1f} % of the range, that of the MLP {mlp['w1']:.1f} %"
    faster = {size: decision[f"{size}, MLP"] / decision[f"{size}, head 64"] for size in ("3 x 256", "4 x 512")}
    yield (
        study,
        f"it is {faster['3 x 256']:.0f} times as fast at the size of `laptop` and {faster['4 x 512']:.0f} times",
    )

    cost, study = numbers("decision-cost"), f"{STUDIES}/11_what_a_decision_costs.ipynb"
    at = {num: place for place, num in enumerate(cost["num_candidates"])}
    ms = {name: {num: rows[place][0] for num, place in at.items()} for name, rows in cost["ms"].items()}
    trained, mlp, factorised = (ms[f"arm, {name}"] for name in ("as trained", "MLP fields", "factorised fields"))
    yield study, f"64 candidates take {trained[64] / trained[8]:.1f} times as long as 8"
    yield study, f"they take {mlp[64] / mlp[8]:.1f} times as long, and {mlp[64] / factorised[64]:.0f} times"
    arm = {num: cost["success"]["arm"][place] for num, place in at.items()}
    assert arm[8][2] > arm[32][1] and arm[64] == arm[32]  # "their intervals overlap"
    yield study, f"from {percent(arm[8][0])} % with 8 candidates to {percent(arm[32][0])} % with 32"

    banks, study = numbers("action-bank"), f"{STUDIES}/12_action_bank.ipynb"
    one, eight, fresh, own = (banks[name] for name in ("bank of 1", "bank of 8", "fresh draws", "data's own"))
    spreads = (
        f"{one['spread']:.2f} with one draw per row, {eight['spread']:.2f} with eight and {fresh['spread']:.2f} with"
    )
    yield study, f"the spread is {spreads} fresh draws"
    away, apart, others = (each["w1_to_fresh"] for each in (one, fresh, own))
    yield (
        study,
        f"are {min(away):.2f} to {max(away):.2f} away from those of fresh draws, whose two seeds are {apart[0]:.2f}",
    )
    yield study, f"{min(others):.2f} to {max(others):.2f} away"
    assert 0.3 < one["ms_per_update"] / fresh["ms_per_update"] < 0.36  # "a third of the time"

    found, study = numbers("more-candidates"), f"{STUDIES}/13_more_candidates.ipynb"
    best, rollouts = (found["curves"][f"arm {name}"] for name in ("preset", "rollouts"))
    yield study, f"highest predicted value delivers {best['delivered'][-1]:.1f} more than the mean one"
    yield (
        study,
        f"half of the rollouts delivers {rollouts['delivered'][-1]:.1f}. Promised were {best['promised'][-1]:.1f}",
    )
    assert best["promised"][-1] > best["promised"][-2] and best["delivered"][-1] < best["delivered"][-2]
    hard, soft = (found["success"][f"arm {how}"] for how in ("argmax", "softmax"))
    yield study, f"from {percent(hard[3][0])} % at 8 candidates to {percent(hard[5][0])} at 32"
    yield study, f"which differs in both temperatures, has {percent(soft[5][0])} there"
    assert found["bounds"]["maze"] == 0

    suite, study = numbers("suite"), f"{STUDIES}/14_suite.ipynb"
    base, evor = (suite[method]["mean"] for method in ("base", "evor"))
    gains = {name: 100 * (evor[name][0] - base[name][0]) for name in base if name != "all"}
    order = sorted(gains, key=gains.__getitem__, reverse=True)
    yield study, f"In `{order[0]}`: from {percent(base[order[0]][0])} to {percent(evor[order[0]][0])} %"
    yield (
        study,
        f"`{order[1]}` and `{order[2]}` gain nearly as much, {gains[order[1]]:.0f} and {gains[order[2]]:.0f} points",
    )
    by_tau = numbers("suite-temperatures")["tau_r"]
    of_mean = {name: rows["inf"][0] for name, rows in by_tau.items() if name != "all"}
    assert [name for name, value in of_mean.items() if value < 0.98] == ["cube-double"]
    yield study, f"{percent(of_mean['cube-double'])} % are left of {percent(by_tau['cube-double']['4.0'][0])}"

    unseen, study = numbers("unseen-data"), f"{STUDIES}/16_unseen_data.ipynb"
    both = ("train", "val")
    single, double = (
        [unseen[f"{task} {split}"] for split in both] for task in ("cube-single-play-task1", "cube-double-play-task1")
    )
    seen, held_out = (rows["all"]["correlation"] for rows in single)
    yield study, f"is {seen:.2f} on training and {held_out:.2f} on held-out rows of `cube-single`"
    yield study, f"{double[0]['all']['correlation']:.2f} and {double[1]['all']['correlation']:.2f} on `cube-double`"
    goal = [f"{rows['0']['predicted']:.0f} on the {{}} ({rows['0']['visits']} visits)" for rows in double]
    yield study, f"says {goal[0].format('training rows there')} and {goal[1].format('held-out ones')}"
    large, single, medium = (
        unseen[f"{task} begins"] for task in ("pointmaze-large-navigate-task2", "cube-single-play-task1", MAZE_TASK)
    )
    agreed = [f"{np.mean(begins['agreement']):.2f}" for begins in (large, single, medium)]
    yield study, f"are {large['spread']:.2f} apart"
    yield study, f"the members' rank correlation is {agreed[0]}"
    yield study, f"{single['spread']:.1f} apart and the correlation is {agreed[1]}, in `pointmaze-medium`"
    yield study, f"in `pointmaze-medium` {medium['spread']:.1f} and {agreed[2]}"
    yield "docs/suite.md", f"candidates differ by {large['spread']:.2f} of 100 (`16_unseen_data`)"
    of_one = unseen["cube-double-play-task1 val"]["-1"]
    too_low = f"{of_one['least'] - of_one['predicted']:.0f} to {of_one['most'] - of_one['predicted']:.0f}"
    yield "docs/gallery.md", f"{too_low} too low on held-out rows of `cube-double` with one cube in place"

    cubes, study = numbers("which-cube"), f"{STUDIES}/17_which_cube.ipynb"
    kinds, tasks = ("MLP", "factorised field", "data"), ("cube-single", "cube-double")
    median = {kind: [cubes[f"{name}, {kind}"]["quartiles"][1] for name in tasks] for kind in kinds}
    mlp, factorised, data = (f"{median[kind][0]:.1f}" for kind in kinds)
    yield study, f"the median landing is {mlp} cm (MLP), {factorised} (factorised field) and {data} (data) from it"
    yield study, f"{median['MLP'][1]:.1f} cm from the nearest, the factorised field {median['factorised field'][1]:.1f}"
    mlp, factorised, data = (percent(cubes[f"cube-double, {kind}"]["in the air"]) for kind in kinds)
    yield study, f"in {mlp} % of its decisions, the factorised field in {factorised} %, the data in {data} %"

    parts, study = numbers("recipe-parts"), f"{STUDIES}/20_recipe_parts.ipynb"
    worse = {name: "↓" in by_num["64"]["marks"] for name, by_num in parts.items()}
    assert sum(worse[name] for name in parts if name.startswith(MAZE_TASK[:-1])) == 9
    assert [name.split(": ")[1] for name in parts if worse[name] and "cube" in name] == ["argmax of $Q^*$"]
    on_cubes = {
        name.split(", ")[1].split(": ")[-1]: row for name, row in parts.items() if name.startswith("cube-double")
    }
    lost = [
        100 * (on_cubes["the recipe"][n]["estimate"] - on_cubes["4 x the updates"][n]["estimate"])
        for n in ("4", "16", "64")
    ]
    yield study, f"on `cube-double` they cost {min(lost):.0f} to {max(lost):.0f} points"

    bound, study = numbers("flow-bound"), f"{STUDIES}/22_what_bounds_the_flow.ipynb"
    rows = ("... and waves of z", "..., MLP, twice the updates", "C51")
    waves, longer, c51 = (np.mean(bound[name], axis=0) for name in rows)  # [bandit, chain, uniform, cantor]
    yield study, f"{longer[3]:.2f} against {c51[3]:.2f}, and more updates made it worse there ({waves[3]:.2f} before)"
    assert all(longer[:3] < waves[:3]) and all(longer[1:3] < c51[1:3]) and abs(longer[0] - c51[0]) < 0.05

    asked, study = numbers("what-the-reward-asks"), f"{STUDIES}/18_what_the_reward_asks.ipynb"
    below = {name: [-value for value in row["worst"]["0.99"] if value < 0] for name, row in asked.items()}
    assert all(min(row["worst"]["0.999"]) >= 0 for row in asked.values())
    sparse, second, third = (below[f"scene-play-{name}"] for name in ("sparse-task4", "task2", "task3"))
    assert len(sparse) == len(asked["scene-play-sparse-task4"]["steps"]) == 11 and len(second) == len(third) == 2
    yield study, f"by {min(sparse):.0f} to {max(sparse):.0f}: of unlocking"
    yield "docs/suite.md", f"standing still for ever returns {min(sparse):.0f} to {max(sparse):.0f} more"
    yield "docs/suite.md", f"in two of ten of task 3 ({third[0]:.0f} and {third[1]:.0f} more)"
    yield "docs/suite.md", f"in two of four of task 2 ({second[0]:.0f} and {second[1]:.0f} more)"
    allowed = numbers("what-the-discount-allows")
    short, long = (allowed[f"learned with {gamma}"]["success"] for gamma in ("0.99", "0.999"))
    yield study, f"reaches the goal in {long} of 12 episodes"
    yield study, f"reaches the goal in {short}."
    yield "docs/suite.md", f"solves task 4 in {long} of 12 tuning episodes, the other in {short}."
    longest = [allowed[f"longest at {gamma}"] for gamma in ("0.99", "0.995", "0.999")]
    yield (
        "figures/results/TRIALS.md",
        "up to {} steps at $\\gamma$ = 0.99, {} at 0.995 and {} at 0.999".format(*longest),
    )
    yield "docs/gallery.md", f"for up to {longest[0]} steps at 0.99, and for up to {longest[2]} at 0.999"

    critics, study = numbers("suite-critics"), f"{STUDIES}/19_other_critics.ipynb"
    scalar, evor = critics["scalar"], critics["evor"]
    lost = {name: evor[name][0] - scalar[name][0] for name in evor if name != "all"}
    assert max(lost, key=lost.__getitem__) == "cube-double" and lost["cube-single"] < 0
    yield study, f"has {percent(scalar['cube-double'][0])} % there and EVOR {percent(evor['cube-double'][0])}"
    yield study, f"on `cube-single` ({percent(scalar['cube-single'][0])} %)"


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
