"""The explorer without a browser: every control moves the pictures and the sentence; what goes wrong is a sentence."""

import gc
import itertools
import tracemalloc
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from tiny import TASK, exhibit_without_data, tiny_exhibit, tiny_listed

from evor_eqx.errors import UserError
from evor_eqx.widgets.explorer import decision
from evor_eqx.widgets.explorer.explorer import Explorer, explore
from evor_eqx.widgets.explorer.states import StateFinder
from evor_eqx.widgets.explorer.view import explorer_figure
from evor_eqx.zoo.catalogue import Listed
from evor_eqx.zoo.exhibits import Exhibit


@pytest.fixture(scope="module")
def explorer():
    return Explorer([tiny_listed("first"), tiny_listed("second")])


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
    explorer.controls.reset.click()
    before, sentence = pictures(explorer), explorer.text.value
    control = explorer.controls.num_flow_steps if name == "num_flow_steps" else explorer.controls.sliders[name]
    control.value = value
    assert sum(a != b for a, b in zip(before, pictures(explorer), strict=True)) >= 2
    if name in ("tau_r", "tau_q", "num_candidates"):  # others may change no more than the last digits
        assert explorer.text.value != sentence
    explorer.controls.reset.click()
    assert pictures(explorer) == before and explorer.text.value == sentence


def test_state_and_place_change_what_is_looked_at(explorer):
    explorer.controls.reset.click()
    seen = set()
    for index in (0, 7):
        explorer.controls.state.value = index
        seen.add(explorer.text.value)
    explorer.controls.source.value = "a place in the maze"
    explorer.controls.x.value, explorer.controls.y.value = 0.0, 0.0
    seen.add(explorer.text.value)
    assert len(seen) == 3 and "place (0, 0)" in explorer.text.value
    explorer.controls.source.value = "held-out data"


def test_a_rollout_begins_with_its_first_decision_and_the_held_out_state_comes_back(explorer):
    explorer.controls.reset.click()
    explorer.controls.source.value = "a rollout"
    explorer.controls.source.value = "held-out data"
    last = explorer.controls.state.value = explorer.controls.state.max
    explorer.controls.source.value = "a rollout"
    assert explorer.controls.state.max != last and "decision 0 of the rollout" in explorer.text.value
    explorer.controls.state.value = explorer.controls.state.max
    explorer.controls.seed.value = 1
    assert "decision 0 of the rollout" in explorer.text.value
    explorer.controls.source.value = "held-out data"
    assert f"held-out state {last}" in explorer.text.value
    explorer.controls.seed.value = explorer.controls.state.value = 0


def test_states_of_a_rollout_follow_its_seed(explorer):
    explorer.controls.reset.click()
    explorer.controls.source.value = "a rollout"
    last = explorer.controls.state.max
    explorer.controls.state.value = last
    assert f"decision {last} of the rollout" in explorer.text.value and last > 10
    seen = pictures(explorer)
    explorer.controls.seed.value = 1
    explorer.controls.state.value = explorer.controls.state.max
    assert pictures(explorer) != seen
    explorer.controls.source.value = "held-out data"


def test_a_rollout_that_fails_is_a_sentence_and_never_another_rollout(explorer):
    explorer.controls.reset.click()
    explorer.controls.source.value = "a rollout"
    explorer.controls.seed.value = -1
    assert "-1" in explorer.text.value and "decision" not in explorer.text.value
    explorer.controls.state.value = 1
    assert "no rollout to look at" in explorer.text.value
    explorer.controls.seed.value = 0
    assert "decision 0 of the rollout" in explorer.text.value
    explorer.controls.source.value = "held-out data"


def test_fresh_rollouts_join_the_distributions_and_the_sentence(explorer):
    explorer.controls.reset.click()
    explorer.controls.state.value = 3
    before = pictures(explorer)
    explorer.controls.fresh.click()
    assert "Fresh rollouts" in explorer.text.value
    changed = [a != b for a, b in zip(before, pictures(explorer), strict=True)]
    assert changed[1]  # the distributions
    explorer.controls.state.value = 4
    explorer.controls.state.value = 3
    assert pictures(explorer) == before  # they belong to the state from which they were run


def test_a_place_in_a_wall_is_a_sentence_and_the_controls_go_on_working(explorer):
    explorer.controls.source.value = "a place in the maze"
    explorer.controls.x.value, explorer.controls.y.value = -4.0, -4.0
    assert "inside a wall" in explorer.text.value
    explorer.controls.source.value = "held-out data"
    assert "held-out state" in explorer.text.value


@pytest.mark.parametrize("error", [UserError("run x is running, expected a complete one"), FileNotFoundError("gone")])
def test_an_agent_that_cannot_be_opened_is_a_sentence_and_another_can_be_chosen(error):
    def refuse():
        raise error

    explorer = Explorer([Listed(TASK, "broken", refuse), tiny_listed("whole")])
    assert str(error) in explorer.text.value
    explorer.controls.sliders["tau_r"].value = 5.0  # nothing to weigh: nothing happens
    explorer.controls.critic.index = 1
    assert "held-out state" in explorer.text.value


def test_without_any_agent_it_says_how_to_get_one():
    assert "evor train" in Explorer([]).text.value


def test_every_control_has_a_label_a_tooltip_and_a_class(explorer):
    controls = [
        explorer.controls.environment,
        explorer.controls.task,
        explorer.controls.critic,
        explorer.controls.source,
        explorer.controls.state,
        explorer.controls.reset,
        explorer.controls.fresh,
    ]
    controls += [explorer.controls.seed, explorer.controls.num_flow_steps]
    for control in [*controls, explorer.controls.x, explorer.controls.y, *explorer.controls.sliders.values()]:
        assert control.description and len(control.tooltip) > 20
        assert any(name.startswith("evor-") and name != "evor-control" for name in control._dom_classes)


def test_two_hundred_moves_compile_nothing_and_keep_no_memory(explorer):
    def moves(num):
        values = itertools.cycle(np.geomspace(0.05, 50, 37))
        for index, value in zip(range(num), values, strict=False):
            name = ("tau_r", "tau_q", "num_candidates", "num_returns")[index % 4]
            slider = explorer.controls.sliders[name]
            slider.value = float(value) if name[:3] == "tau" else slider.options[index % len(slider.options)]

    explorer.controls.reset.click()
    moves(40)
    num_figures = count_figures()
    compiled = decision.weigh._cached._cache_size(), decision.look._cached._cache_size()
    gc.collect()
    tracemalloc.start()
    moves(50)
    first = tracemalloc.get_traced_memory()[0]
    moves(110)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert (decision.weigh._cached._cache_size(), decision.look._cached._cache_size()) == compiled
    assert (
        grown < 2_000_000 and count_figures() <= num_figures
    )  # a picture of one panel alone has more than two megabytes


def test_the_static_twin_says_the_same_sentence(explorer):
    explorer.controls.reset.click()
    explorer.controls.state.value = 5
    finder = StateFinder(tiny_exhibit("first"))
    figure, sentence = explorer_figure(finder, finder.at_state(5), explorer.controls.inference)
    assert sentence.replace("<", "&lt;") in explorer.text.value and len(figure.axes) == 4


def test_an_agent_and_its_task_are_all_that_explore_needs(monkeypatch):
    exhibit = tiny_exhibit("mine")
    monkeypatch.setattr(Exhibit, "of", lambda agent, task: exhibit)
    explorer = explore(exhibit.agent, TASK, state=3)
    assert "At held-out state 3" in explorer.text.value
    finder = StateFinder(exhibit)
    _, sentence = explorer_figure(finder, finder.at_state(3), explorer.controls.inference)
    assert sentence.replace("<", "&lt;") in explorer.text.value


def test_a_selection_rule_of_ones_own_is_followed_and_one_without_probabilities_is_a_sentence():
    exhibit, calls = tiny_exhibit(), []

    def second_best(value, tau_q):
        calls.append(1)
        return jnp.where(jnp.arange(len(value)) == jnp.argsort(-value)[1], 1.0, 0.0)

    explorer = Explorer([listed_with(exhibit, selection=second_best)])
    _, weights = explorer.view.selection.stems.get_data()
    assert weights[1] == 1 and weights[0] < 1e-3 and "This draw picks another one" in explorer.text.value
    traced = len(calls)
    explorer.controls.sliders["tau_q"].value = 5.0
    explorer.controls.sliders["num_candidates"].value = 16
    assert len(calls) == traced  # static under jit, not a reason to compile again
    broken = Explorer([listed_with(exhibit, selection=lambda value, tau_q: jnp.ones_like(value))])
    assert "weights of the selection rule" in broken.text.value


def listed_with(exhibit, **changes):
    return Listed(TASK, "changed", lambda: replace(exhibit, agent=exhibit.agent.replace(**changes)))


def test_what_the_explorer_cannot_show_is_a_sentence_and_moving_sliders_is_harmless():
    tiny = tiny_exhibit()
    base = replace(tiny, agent=tiny.agent.base_policy_agent())
    ant = exhibit_without_data("antmaze-medium-navigate-task1")
    for exhibit, words in ((base, "has no critic"), (ant, "has no held-out states")):
        explorer = Explorer([Listed(exhibit.task, "mine", lambda exhibit=exhibit: exhibit)])
        explorer.controls.sliders["tau_r"].value = 5.0
        assert words in explorer.text.value


@pytest.mark.parametrize("changes", [{"num_returns": 9}, {"num_candidates": 65}])
def test_the_static_twin_refuses_counts_that_are_not_drawn(changes):
    finder = StateFinder(tiny_exhibit())
    inference = replace(finder.exhibit.agent.inference, **changes)
    with pytest.raises(UserError, match="which are what the explorer draws"):
        explorer_figure(finder, finder.at_state(5), inference)
