"""Numbers in the texts of studies, and in pages that tell of them: each is that of a committed figure's sidecar.

Each function has the name of its study. It yields what the study's text says, with the numbers put in from the sidecar,
or a pair of another file and of what that says.
"""

import numpy as np
import pytest
from sidecars import MAZE_TASK, ROOT, numbers, percent, text_of


def velocity_architecture():
    fields = numbers("velocity-architecture")
    small, mlp, decision = fields["factorised, head 32"], fields["MLP"], fields["decision_ms"]
    assert small["low"] < mlp["high"]  # "the intervals of the two overlap"
    yield f"an update is {mlp['ms_per_update'] / small['ms_per_update']:.1f} times as fast as with the MLP"
    yield f"Its $W_1$ is {small['w1']:.1f} % of the range, that of the MLP {mlp['w1']:.1f} %"
    faster = {size: decision[f"{size}, MLP"] / decision[f"{size}, head 64"] for size in ("3 x 256", "4 x 512")}
    yield f"it is {faster['3 x 256']:.0f} times as fast at the size of `laptop` and {faster['4 x 512']:.0f} times"


def what_a_decision_costs():
    cost = numbers("decision-cost")
    at = {num: place for place, num in enumerate(cost["num_candidates"])}
    ms = {name: {num: rows[place][0] for num, place in at.items()} for name, rows in cost["ms"].items()}
    trained, mlp, factorised = (ms[f"arm, {name}"] for name in ("as trained", "MLP fields", "factorised fields"))
    yield f"64 candidates take {trained[64] / trained[8]:.1f} times as long as 8"
    yield f"they take {mlp[64] / mlp[8]:.1f} times as long, and {mlp[64] / factorised[64]:.0f} times"
    arm = {num: cost["success"]["arm"][place] for num, place in at.items()}
    assert arm[8][2] > arm[32][1] and arm[64] == arm[32]  # "their intervals overlap"
    yield f"from {percent(arm[8][0])} % with 8 candidates to {percent(arm[32][0])} % with 32"


def action_bank():
    banks = numbers("action-bank")
    one, eight, fresh, own = (banks[name] for name in ("bank of 1", "bank of 8", "fresh draws", "data's own"))
    spreads = (
        f"{one['spread']:.2f} with one draw per row, {eight['spread']:.2f} with eight and {fresh['spread']:.2f} with"
    )
    yield f"the spread is {spreads} fresh draws"
    away, apart, others = (each["w1_to_fresh"] for each in (one, fresh, own))
    yield f"are {min(away):.2f} to {max(away):.2f} away from those of fresh draws, whose two seeds are {apart[0]:.2f}"
    yield f"{min(others):.2f} to {max(others):.2f} away"
    assert 0.3 < one["ms_per_update"] / fresh["ms_per_update"] < 0.36  # "a third of the time"


def more_candidates():
    found = numbers("more-candidates")
    best, rollouts = (found["curves"][f"arm {name}"] for name in ("preset", "rollouts"))
    yield f"highest predicted value delivers {best['delivered'][-1]:.1f} more than the mean one"
    yield f"half of the rollouts delivers {rollouts['delivered'][-1]:.1f}. Promised were {best['promised'][-1]:.1f}"
    assert best["promised"][-1] > best["promised"][-2] and best["delivered"][-1] < best["delivered"][-2]
    hard, soft = (found["success"][f"arm {how}"] for how in ("argmax", "softmax"))
    yield f"from {percent(hard[3][0])} % at 8 candidates to {percent(hard[5][0])} at 32"
    yield f"which differs in both temperatures, has {percent(soft[5][0])} there"
    assert found["bounds"]["maze"] == 0


def suite():
    record = numbers("suite")
    base, evor = (record[method]["mean"] for method in ("base", "evor"))
    gains = {name: 100 * (evor[name][0] - base[name][0]) for name in base if name != "all"}
    order = sorted(gains, key=gains.__getitem__, reverse=True)
    yield f"In `{order[0]}`: from {percent(base[order[0]][0])} to {percent(evor[order[0]][0])} %"
    yield f"`{order[1]}` and `{order[2]}` gain nearly as much, {gains[order[1]]:.0f} and {gains[order[2]]:.0f} points"
    by_tau = numbers("suite-temperatures")["tau_r"]
    of_mean = {name: rows["inf"][0] for name, rows in by_tau.items() if name != "all"}
    assert [name for name, value in of_mean.items() if value < 0.98] == ["cube-double"]
    yield f"{percent(of_mean['cube-double'])} % are left of {percent(by_tau['cube-double']['4.0'][0])}"


def unseen_data():
    unseen = numbers("unseen-data")
    both = ("train", "val")
    single, double = (
        [unseen[f"{task} {split}"] for split in both] for task in ("cube-single-play-task1", "cube-double-play-task1")
    )
    seen, held_out = (rows["all"]["correlation"] for rows in single)
    yield f"is {seen:.2f} on training and {held_out:.2f} on held-out rows of `cube-single`"
    yield f"{double[0]['all']['correlation']:.2f} and {double[1]['all']['correlation']:.2f} on `cube-double`"
    goal = [f"{rows['0']['predicted']:.0f} on the {{}} ({rows['0']['visits']} visits)" for rows in double]
    yield f"says {goal[0].format('training rows there')} and {goal[1].format('held-out ones')}"
    large, single, medium = (
        unseen[f"{task} begins"] for task in ("pointmaze-large-navigate-task2", "cube-single-play-task1", MAZE_TASK)
    )
    agreed = [f"{np.mean(begins['agreement']):.2f}" for begins in (large, single, medium)]
    yield f"are {large['spread']:.2f} apart"
    yield f"the members' rank correlation is {agreed[0]}"
    yield f"{single['spread']:.1f} apart and the correlation is {agreed[1]}, in `pointmaze-medium`"
    yield f"in `pointmaze-medium` {medium['spread']:.1f} and {agreed[2]}"
    yield "docs/suite.md", f"candidates differ by {large['spread']:.2f} of 100 (`16_unseen_data`)"
    of_one = unseen["cube-double-play-task1 val"]["-1"]
    too_low = f"{of_one['least'] - of_one['predicted']:.0f} to {of_one['most'] - of_one['predicted']:.0f}"
    yield "docs/gallery.md", f"{too_low} too low on held-out rows of `cube-double` with one cube in place"
    others = [rows for name, rows in unseen.items() if not name.startswith("cube-double") and "begins" not in name]
    assert len(others) == 2 * 3
    away = [row for rows in others for unmet, row in rows.items() if unmet != "0"]
    error = max(abs(row["predicted"] - row["recorded"]) for row in away)
    yield "docs/gallery.md", f"within {error:.1f} of what was recorded on three environments but at the goal"


def which_cube():
    cubes = numbers("which-cube")
    kinds, tasks = ("MLP", "factorised field", "data"), ("cube-single", "cube-double")
    median = {kind: [cubes[f"{name}, {kind}"]["quartiles"][1] for name in tasks] for kind in kinds}
    mlp, factorised, data = (f"{median[kind][0]:.1f}" for kind in kinds)
    yield f"the median landing is {mlp} cm (MLP), {factorised} (factorised field) and {data} (data) from it"
    yield f"{median['MLP'][1]:.1f} cm from the nearest, the factorised field {median['factorised field'][1]:.1f}"
    mlp, factorised, data = (percent(cubes[f"cube-double, {kind}"]["in the air"]) for kind in kinds)
    yield f"in {mlp} % of its decisions, the factorised field in {factorised} %, the data in {data} %"


def what_the_reward_asks():
    asked = numbers("what-the-reward-asks")
    below = {name: [-value for value in row["worst"]["0.99"] if value < 0] for name, row in asked.items()}
    assert all(min(row["worst"]["0.999"]) >= 0 for row in asked.values())
    steps = [num for row in asked.values() for num in row["steps"]]
    assert 60 <= min(steps) < 70 and 540 < max(steps) <= 550  # "60 to 550 steps"
    second, third, fourth, fifth = (below[f"scene-play-task{task}"] for task in (2, 3, 4, 5))
    reached = [len(asked[f"scene-play-task{task}"]["steps"]) for task in (2, 3, 4, 5)]
    assert len(second) == len(third) == 4 and [len(fourth), len(fifth)] == reached[2:]  # "four episodes each"
    yield f"each of the {len(fourth)} episodes that reach the goal of task 4"
    by = f"{min(fourth):.0f} to {max(fourth):.0f}", f"{min(fifth):.0f} to {max(fifth):.0f}"
    yield f"by {by[0]}, and each of the {len(fifth)} of task 5, by {by[1]}: of unlocking"
    yield "docs/suite.md", f"{by[0]} more on task 4 and {by[1]} on task 5"
    yield "docs/suite.md", f"in each of the {len(fourth)} and {len(fifth)} tuning episodes"
    yield "docs/suite.md", f"such a moment is in four of the {reached[0]} episodes of each"
    allowed = numbers("what-the-discount-allows")
    short, long = (allowed[f"learned with {gamma}"]["success"] for gamma in ("0.99", "0.999"))
    yield f"reaches the goal in {long} of 12 episodes"
    yield f"reaches the goal in {short}."
    yield "docs/suite.md", f"solves task 4 in {long} of 12 tuning episodes, the other in {short}."
    longest = [allowed[f"longest at {gamma}"] for gamma in ("0.99", "0.995", "0.999")]
    yield (
        "figures/results/TRIALS.md",
        "up to {} steps at $\\gamma$ = 0.99, {} at 0.995 and {} at 0.999".format(*longest),
    )
    yield "docs/gallery.md", f"for up to {longest[0]} steps at 0.99, and for up to {longest[2]} at 0.999"


def other_critics():
    critics = numbers("suite-critics")
    scalar, evor = critics["scalar"], critics["evor"]
    lost = {name: evor[name][0] - scalar[name][0] for name in evor if name != "all"}
    assert max(lost, key=lost.__getitem__) == "cube-double" and lost["cube-single"] < 0
    yield f"has {percent(scalar['cube-double'][0])} % there and EVOR {percent(evor['cube-double'][0])}"
    yield f"on `cube-single` ({percent(scalar['cube-single'][0])} %)"


def recipe_parts():
    parts = numbers("recipe-parts")
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
    yield f"on `cube-double` they cost {min(lost):.0f} to {max(lost):.0f} points"


def what_bounds_the_flow():
    bound = numbers("flow-bound")
    rows = ("... and waves of z", "..., MLP, twice the updates", "C51")
    waves, longer, c51 = (np.mean(bound[name], axis=0) for name in rows)  # [bandit, chain, uniform, cantor]
    yield f"{longer[3]:.2f} against {c51[3]:.2f}, and more updates made it worse there ({waves[3]:.2f} before)"
    assert all(longer[:3] < waves[:3]) and all(longer[1:3] < c51[1:3]) and abs(longer[0] - c51[0]) < 0.05


def candidates_or_choice():
    shares = numbers("candidates-or-choice")
    of_part = {
        part: [round(24 * shares[f"cube-double-play-task{task}, {part}"][0]) for task in range(1, 6)]
        for part in ("nothing", "the choice", "one candidate", "everything")
    }
    assert of_part["everything"] == [24] * 5
    alone, chosen, offered = (of_part[part] for part in ("nothing", "the choice", "one candidate"))
    in_words = "{}, {}, {}, {} and {} of 24".format(*offered)
    yield f"{in_words} episodes of tasks 1 to 5"
    yield "where it has {}, {}, {}, {} and {} by itself".format(*alone)
    assert all(chosen[task - 1] < alone[task - 1] for task in (2, 3, 5))
    yield f"it helps ({chosen[3]} of 24)"
    yield "docs/suite.md", f"{in_words} tuning episodes of tasks 1 to 5"
    yield "docs/suite.md", "(by itself {}, {}, {}, {}, {})".format(*alone)


def where_the_goal_is():
    (first, second), (third, other) = (
        [numbers("where-the-goal-is")[f"cube-double-play-task{task}, cube {cube}"] for cube in "AB"] for task in (2, 3)
    )
    assert first["failed"] == second["failed"] and third["failed"] == other["failed"]
    yield f"in {first['near']} of {first['failed']} cube A lies beside its goal"
    yield f"and in {first['outside']} of {first['failed']} outside of the dashed box"
    yield f"In its {third['failed']} failures cube B lies at its goal {other['at']} times"
    yield f"and cube A in {third['far']} far from its own"
    yield (
        "docs/suite.md",
        (
            f"in {first['near']} of {first['failed']} failures one cube lay 4 to 10 cm from its goal, "
            f"in {first['outside']} of {first['failed']} outside of the places"
        ),
    )


STUDIES = {
    "10": velocity_architecture,
    "11": what_a_decision_costs,
    "12": action_bank,
    "13": more_candidates,
    "14": suite,
    "16": unseen_data,
    "17": which_cube,
    "18": what_the_reward_asks,
    "19": other_critics,
    "20": recipe_parts,
    "22": what_bounds_the_flow,
    "23": candidates_or_choice,
    "24": where_the_goal_is,
}


def claims():
    """Pairs of a file and of what it says."""
    for number, study in STUDIES.items():
        own = f"notebooks/studies/{number}_{study.__name__}.ipynb"
        yield from (said if isinstance(said, tuple) else (own, said) for said in study())


@pytest.mark.parametrize("file, said", claims())
def test_a_number_in_a_text_is_that_of_the_figure(file, said):
    assert said in text_of(ROOT / file)
