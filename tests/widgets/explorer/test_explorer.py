"""The explorer without a browser: every control moves the pictures and the sentence; what goes wrong is a sentence."""

import gc
import itertools
import tracemalloc

import numpy as np
import pytest
from matplotlib.figure import Figure
from tiny import TASK, tiny_agent, tiny_entry

from evor_eqx.errors import UserError
from evor_eqx.widgets.explorer import decision
from evor_eqx.widgets.explorer.explorer import Explorer
from evor_eqx.widgets.explorer.states import Surroundings
from evor_eqx.widgets.explorer.view import explorer_figure
from evor_eqx.zoo.packed import Entry


@pytest.fixture(scope="module")
def explorer():
    return Explorer([tiny_entry("first"), tiny_entry("second")])


def pictures(explorer):
    return [canvas.image.value for canvas in explorer.canvases]


def count_figures():
    gc.collect()
    return sum(isinstance(thing, Figure) for thing in gc.get_objects())


@pytest.mark.parametrize(
    ("name", "value"),
    [("tau_r", 30.0), ("tau_q", 0.01), ("num_candidates", 32), ("num_returns", 4), ("num_flow_steps", 9)],
)
def test_each_slider_changes_pictures_and_sentence(explorer, name, value):
    explorer.reset.click()
    before, sentence = pictures(explorer), explorer.text.value
    control = explorer.num_flow_steps if name == "num_flow_steps" else explorer.sliders[name]
    control.value = value
    assert sum(a != b for a, b in zip(before, pictures(explorer), strict=True)) >= 2
    assert explorer.text.value != sentence
    explorer.reset.click()
    assert pictures(explorer) == before and explorer.text.value == sentence


def test_state_and_place_change_what_is_looked_at(explorer):
    explorer.reset.click()
    seen = set()
    for index in (0, 7):
        explorer.state.value = index
        seen.add(explorer.text.value)
    explorer.source.value = "a place in the maze"
    explorer.x.value, explorer.y.value = 0.0, 0.0
    seen.add(explorer.text.value)
    assert len(seen) == 3 and "place (0, 0)" in explorer.text.value
    explorer.source.value = "held-out data"


def test_states_of_a_rollout_follow_its_seed(explorer):
    explorer.reset.click()
    explorer.source.value = "a rollout"
    last = explorer.state.max
    explorer.state.value = last
    assert f"decision {last} of the rollout" in explorer.text.value and last > 10
    seen = pictures(explorer)
    explorer.seed.value = 1
    explorer.state.value = explorer.state.max
    assert pictures(explorer) != seen
    explorer.source.value = "held-out data"


def test_a_rollout_that_fails_is_a_sentence_and_never_another_rollout(explorer):
    explorer.reset.click()
    explorer.source.value = "a rollout"
    explorer.seed.value = -1
    assert "-1" in explorer.text.value and "decision" not in explorer.text.value
    explorer.state.value = 1
    assert "no rollout to look at" in explorer.text.value
    explorer.seed.value = 0
    assert "decision 1 of the rollout" in explorer.text.value
    explorer.source.value = "held-out data"


def test_fresh_rollouts_join_the_laws_and_the_sentence(explorer):
    explorer.reset.click()
    explorer.state.value = 3
    before = pictures(explorer)
    explorer.fresh.click()
    assert "Fresh rollouts" in explorer.text.value
    changed = [a != b for a, b in zip(before, pictures(explorer), strict=True)]
    assert changed[1]  # the laws
    explorer.state.value = 4
    explorer.state.value = 3
    assert pictures(explorer) == before  # they belong to the state from which they were run


def test_a_place_in_a_wall_is_a_sentence_and_the_controls_go_on_working(explorer):
    explorer.source.value = "a place in the maze"
    explorer.x.value, explorer.y.value = -4.0, -4.0
    assert "inside a wall" in explorer.text.value
    explorer.source.value = "held-out data"
    assert "held-out state" in explorer.text.value


@pytest.mark.parametrize("error", [UserError("run x is running, expected a complete one"), FileNotFoundError("gone")])
def test_an_agent_that_cannot_be_opened_is_a_sentence_and_another_can_be_chosen(error):
    def refuse():
        raise error

    explorer = Explorer([Entry(TASK, "broken", refuse), tiny_entry("whole")])
    assert str(error) in explorer.text.value
    explorer.sliders["tau_r"].value = 5.0  # nothing to weigh: nothing happens
    explorer.critic.index = 1
    assert "held-out state" in explorer.text.value


def test_without_any_agent_it_says_how_to_get_one():
    assert "evor train" in Explorer([]).text.value


def test_every_control_has_a_label_a_tooltip_and_a_class(explorer):
    controls = [
        explorer.environment,
        explorer.task,
        explorer.critic,
        explorer.source,
        explorer.state,
        explorer.reset,
        explorer.fresh,
    ]
    controls += [explorer.seed, explorer.num_flow_steps]
    for control in [*controls, explorer.x, explorer.y, *explorer.sliders.values()]:
        assert control.description and len(control.tooltip) > 20
        assert any(name.startswith("evor-") and name != "evor-control" for name in control._dom_classes)


def test_two_hundred_moves_compile_nothing_and_keep_no_memory(explorer):
    def moves(num):
        values = itertools.cycle(np.geomspace(0.05, 50, 37))
        for index, value in zip(range(num), values, strict=False):
            name = ("tau_r", "tau_q", "num_candidates", "num_returns")[index % 4]
            slider = explorer.sliders[name]
            slider.value = float(value) if name[:3] == "tau" else slider.options[index % len(slider.options)]

    explorer.reset.click()
    moves(40)
    num_figures = count_figures()
    compiled = decision.weigh._cache_size(), decision.look._cached._cache_size()
    gc.collect()
    tracemalloc.start()
    moves(50)
    first = tracemalloc.get_traced_memory()[0]
    moves(110)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert (decision.weigh._cache_size(), decision.look._cached._cache_size()) == compiled
    assert (
        grown < 2_000_000 and count_figures() <= num_figures
    )  # a picture of one panel alone has more than two megabytes


def test_the_static_twin_says_the_same_sentence(explorer):
    explorer.reset.click()
    explorer.state.value = 5
    agent = tiny_agent("first")
    surroundings = Surroundings(agent)
    figure, sentence = explorer_figure(agent, surroundings.at_state(5), explorer.setting, surroundings)
    assert sentence.replace("<", "&lt;") in explorer.text.value and len(figure.axes) == 4
