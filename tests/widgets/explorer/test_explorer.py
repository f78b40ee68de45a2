"""The explorer in the kernel: each state's arrays follow the traits, and what goes wrong is a message."""

import gc
import tracemalloc
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TASK, exhibit_without_data, tiny_exhibit, tiny_listed
from traitlets import TraitError

from evor_eqx.config import InferenceConfig
from evor_eqx.envs.ogbench import maze_layout
from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.widgets.explorer import decision
from evor_eqx.widgets.explorer import explorer as explorer_module
from evor_eqx.widgets.explorer.arrays import DATA, PLACE, ROLLOUT, walls
from evor_eqx.widgets.explorer.explorer import Explorer, explore
from evor_eqx.widgets.explorer.states import StateFinder
from evor_eqx.widgets.explorer.twin import explorer_figure
from evor_eqx.zoo.catalogue import Listed
from evor_eqx.zoo.exhibits import Exhibit


@pytest.fixture
def explorer():
    return Explorer([tiny_listed("first"), tiny_listed("second")])


def floats(data, width=1):
    return np.frombuffer(data, np.float32).reshape(-1, width)


def ask(explorer, kind):
    """Send what the page sends."""
    explorer._handle_custom_msg({"kind": kind}, [])


def test_a_view_holds_the_distributions_and_ways_of_the_state_as_a_decision_draws_them(explorer):
    explorer.state = 7
    finder = StateFinder(tiny_exhibit("first"))
    look = decision.look_at(finder.exhibit.agent, finder.at_state(7), explorer.num_flow_steps)
    for index, count in enumerate(explorer.view["counts"]):
        num = decision.NUM_RETURNS[index]
        atoms = np.asarray(look.distributions.atoms)[index, :, :num]
        assert count["num"] == num and count["weights"] is None  # a flow's atoms have equal weights
        np.testing.assert_array_equal(floats(count["atoms"], num), atoms)
    (plane,) = explorer.view["planes"]
    origin, ends = finder.points(finder.planes[0], finder.at_state(7).obs, np.asarray(look.chunks))
    np.testing.assert_allclose(plane["origin"], origin, rtol=1e-6)
    np.testing.assert_allclose(floats(plane["ends"], 2), ends, rtol=1e-5)
    assert explorer.view["name"] == "held-out state 7" and explorer.view["has_data"]
    assert plane["things"][0]["kind"] == "goal" and len(plane["ends"]) == 8 * (decision.NUM_CANDIDATES[-1] + 1)


def test_a_view_holds_the_bounds_of_recorded_returns_and_of_what_followed_this_very_state(explorer):
    for index in range(0, 80, 7):
        explorer.state = index
        state = StateFinder(tiny_exhibit("first")).at_state(index)
        for name, returns in {"recorded": state.recorded, "own": state.own}.items():
            sent = explorer.view[name]
            np.testing.assert_array_equal(floats(sent["low"])[:, 0], np.ravel(returns.low).astype(np.float32))
            np.testing.assert_array_equal(floats(sent["high"])[:, 0], np.ravel(returns.high).astype(np.float32))
            assert sent["text"] == returns.text
    assert (floats(explorer.view["recorded"]["low"]) <= floats(explorer.view["recorded"]["high"])).all()


def test_atoms_behind_one_that_no_distribution_uses_are_sent_and_means_stay(explorer, monkeypatch):
    means, look_at = [], decision.look_at

    def without_the_first(*arguments):
        """The first of eight atoms has the weight 0 everywhere, the second one that of both."""
        look = look_at(*arguments)
        atoms, weights = look.distributions.atoms, look.distributions.weights
        weights = weights.at[2, :, 0].set(0.0).at[2, :, 1].set(2 / 8)
        means.append(np.sum(atoms[2] * weights[2], axis=1))
        return look._replace(distributions=replace(look.distributions, weights=weights))

    monkeypatch.setattr(decision, "look_at", without_the_first)
    explorer.state = 2
    count = explorer.view["counts"][2]
    assert decision.NUM_RETURNS[2] == count["num"] == 8
    sent = floats(count["atoms"], 8) * floats(count["weights"], 8)
    np.testing.assert_allclose(sent.sum(axis=1), means[0], rtol=1e-5)


@pytest.mark.parametrize("name", ["pointmaze-medium-navigate-task1", "pointmaze-giant-navigate-task1"])
def test_a_mazes_range_ends_half_a_cell_beyond_the_centres_of_its_outer_cells(name):
    task = parse_task(name)
    env = task.make_env()
    height, width = env.unwrapped.maze_map.shape  # 12 x 16 in the giant one
    centres = [env.unwrapped.ij_to_xy(cell) for cell in ((0, 0), (height - 1, width - 1))]  # by OGBench itself
    half = env.unwrapped._maze_unit / 2
    env.close()
    expected = [*np.subtract(centres[0], half), *np.add(centres[1], half)]
    np.testing.assert_allclose(walls(maze_layout(task))["range"], expected)


def test_it_begins_where_the_exhibit_says_unless_a_state_is_given(monkeypatch):
    starts = {"first": 5, "second": 11}
    monkeypatch.setattr(Exhibit, "start", property(lambda exhibit: starts[exhibit.name]))
    explorer = Explorer([tiny_listed("first"), tiny_listed("second")])
    assert explorer.view["name"] == "held-out state 5"
    explorer.agent = 1
    assert explorer.view["name"] == "held-out state 11"
    given = Explorer([tiny_listed("first"), tiny_listed("second")], state=0)
    assert given.view["name"] == "held-out state 0"
    given.agent = 1
    assert given.view["name"] == "held-out state 11"


def test_settings_send_no_arrays_and_another_number_of_flow_steps_draws_anew(explorer):
    before = explorer.view
    for name, value in {"tau_r": 30.0, "tau_q": float("inf"), "num_candidates": 100, "num_returns": 4}.items():
        setattr(explorer, name, value)
        assert explorer.view is before and getattr(explorer.inference, name) == value
    explorer.num_flow_steps = 9
    assert explorer.view["key"] != before["key"]
    assert explorer.view["counts"][2]["atoms"] != before["counts"][2]["atoms"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_returns", 9),
        ("num_candidates", 0),
        ("num_candidates", 129),
        ("tau_r", -1.0),
        ("tau_q", float("nan")),
        ("agent", 2),
        ("agent", -1),
        ("plane", 1),
        ("source", "the moon"),
        ("place", [1.0]),
    ],
)
def test_what_is_not_drawn_cannot_be_set(explorer, name, value):
    with pytest.raises(TraitError):
        setattr(explorer, name, value)


def test_infinite_temperatures_travel_as_a_word(explorer):
    explorer.tau_r = float("inf")
    assert explorer.get_state(["tau_r"]) == {"tau_r": "inf"}
    explorer.set_state({"tau_r": "inf", "tau_q": 0})
    assert (explorer.tau_r, explorer.tau_q) == (float("inf"), 0.0)


def test_a_place_of_the_maze_is_a_state(explorer):
    explorer.place = [0.0, 0.0]
    explorer.source = PLACE
    assert explorer.view["name"] == "place (0, 0)" and not explorer.view["has_data"]
    np.testing.assert_allclose(explorer.view["planes"][0]["origin"], [0, 0])


def test_a_rollout_begins_with_its_first_decision_and_the_held_out_state_comes_back(explorer):
    last = explorer.state = explorer.last
    explorer.source = ROLLOUT
    assert explorer.view["name"] == "decision 0 of the rollout" and 10 < explorer.last != last
    explorer.state = explorer.last
    explorer.seed = 1
    assert explorer.view["name"] == "decision 0 of the rollout"
    explorer.source = DATA
    assert explorer.view["name"] == f"held-out state {last}"


def test_a_rollout_that_fails_is_a_message_and_never_another_rollout(explorer):
    explorer.source = ROLLOUT
    explorer.seed = -1
    assert "-1" in explorer.message
    explorer.state = 1
    assert "no rollout to look at" in explorer.message
    explorer.seed = 0
    assert explorer.message == "" and explorer.view["name"] == "decision 0 of the rollout"


@pytest.mark.parametrize("state", [-1, 10_000])
def test_a_decision_that_the_rollout_does_not_have_is_a_message_and_what_was_shown_stays(explorer, state):
    explorer.source = ROLLOUT
    shown = explorer.view
    explorer.state = state
    assert f"state {state}: expected 0 to {explorer.last}" in explorer.message and explorer.view is shown
    explorer.state = explorer.last
    assert explorer.message == "" and explorer.view["name"] == f"decision {explorer.last} of the rollout"


def test_fresh_rollouts_belong_to_the_state_from_which_they_were_run(explorer):
    explorer.state = 3
    ask(explorer, "roll_out")
    fresh = explorer.view["fresh"]
    low, high = floats(fresh["low"]), floats(fresh["high"])
    assert len(low) == 16 and "Fresh rollouts" in explorer.view["note"] and fresh["text"] in explorer.view["note"]
    assert ((low < high).sum() > 0) == ("cut off" in fresh["text"])
    explorer.state = 4
    assert explorer.view["fresh"]["low"] == b"" and "note" not in explorer.view


def test_the_track_leads_on_from_the_state_and_is_made_anew_for_other_settings(explorer):
    explorer.state = 3
    ask(explorer, "follow")
    track = explorer.track
    points = floats(track["planes"][0], 2)
    np.testing.assert_allclose(points[0], explorer.view["planes"][0]["origin"], atol=1e-6)
    assert len(points) == 200 / 5 and (np.linalg.norm(np.diff(points, axis=0), axis=1) <= 1.5).all()  # 5 steps of 0.2 m
    ask(explorer, "follow")
    assert explorer.track is track and track["key"] == explorer.view["key"]
    explorer.num_candidates = 1
    ask(explorer, "follow")
    assert explorer.track["settings"]["num_candidates"] == 1 and explorer.track is not track


def test_the_track_begins_with_the_candidate_that_is_picked(explorer):
    explorer.state, explorer.tau_q = 3, float("inf")
    (plane,) = explorer.view["planes"]
    for num in (1, 2, 16):
        explorer.num_candidates = num
        ask(explorer, "follow")
        picked = int(num * explorer.view["level"])  # all have the same weight
        end = floats(plane["ends"], 2)[picked]
        np.testing.assert_allclose(floats(explorer.track["planes"][0], 2)[1], end, atol=1e-4)


def test_the_track_of_a_rollout_is_the_rest_of_its_path(explorer):
    explorer.source = ROLLOUT
    explorer.state = 5
    ask(explorer, "follow")
    path = explorer.recording.path[explorer.recording.step[5] :]
    np.testing.assert_allclose(floats(explorer.track["planes"][0], 2), path, rtol=1e-6)


@pytest.mark.parametrize("place", [[-4.0, -4.0], [float("nan"), 0.0], [0.0, float("inf")]])
def test_a_place_in_a_wall_is_a_message_and_the_explorer_goes_on_working(explorer, place):
    explorer.source = PLACE
    explorer.place = place
    assert "inside a wall" in explorer.message
    explorer.source = DATA
    assert explorer.message == "" and "held-out state" in explorer.view["name"]


@pytest.mark.parametrize("error", [UserError("run x is running, expected a complete one"), FileNotFoundError("gone")])
def test_an_agent_that_cannot_be_opened_is_a_message_and_another_can_be_chosen(error):
    def refuse():
        raise error

    explorer = Explorer([Listed(TASK, "broken", refuse), tiny_listed("whole")])
    assert explorer.message == str(error) and explorer.view == {}
    look_around_in_vain(explorer, str(error))
    explorer.agent = 1
    assert explorer.message == "" and "held-out state" in explorer.view["name"]
    explorer.agent = 0
    assert explorer.view == {} and explorer.scene == {}  # not those of the other one under this one's name
    look_around_in_vain(explorer, str(error))


def look_around_in_vain(explorer, message):
    """There is nothing to look at: whatever is set, nothing happens, and the message stays."""
    explorer.tau_r += 1.0
    explorer.state += 1
    explorer.source = ROLLOUT
    explorer.source = DATA
    ask(explorer, "roll_out")
    assert explorer.message == message


def test_without_any_agent_it_says_how_to_get_one():
    assert "evor train" in Explorer([]).message


def test_what_the_explorer_cannot_show_is_a_message():
    tiny = tiny_exhibit()
    base = replace(tiny, agent=tiny.agent.base_policy_agent())
    ant = exhibit_without_data("antmaze-medium-navigate-task1")
    for exhibit, words in ((base, "has no critic"), (ant, "has no held-out states")):
        assert words in Explorer([Listed(exhibit.task, "mine", lambda exhibit=exhibit: exhibit)]).message


@pytest.mark.parametrize(
    ("model", "words"),
    [("policy", "ways of the candidates: got nan"), ("critic", "atoms of the return distributions: got nan")],
)
def test_an_agent_that_computes_nan_is_a_message_and_another_can_be_chosen(model, words):
    exhibit = tiny_exhibit()
    network = jax.tree.map(
        lambda leaf: leaf * jnp.nan if eqx.is_inexact_array(leaf) else leaf, getattr(exhibit.agent, model)
    )
    broken = replace(exhibit, agent=replace(exhibit.agent, **{model: network}))
    explorer = Explorer([Listed(TASK, "broken", lambda: broken), tiny_listed("whole")])
    assert words in explorer.message and explorer.view == {}
    ask(explorer, "follow")
    explorer.agent = 1
    assert explorer.message == "" and "held-out state" in explorer.view["name"]
    explorer.agent = 0
    assert words in explorer.message and explorer.view == {}  # not that of the other one


def test_nan_at_one_state_is_a_message_and_what_was_shown_stays_until_the_next(explorer, monkeypatch):
    explorer.state = 2
    shown, look_at = explorer.view, decision.look_at

    def without_numbers(*arguments):
        look = look_at(*arguments)
        return look._replace(distributions=jax.tree.map(lambda leaf: leaf * jnp.nan, look.distributions))

    monkeypatch.setattr(decision, "look_at", without_numbers)
    explorer.state = 3
    assert "got nan, expected finite numbers" in explorer.message and explorer.view is shown
    monkeypatch.undo()
    explorer.state = 4
    assert explorer.message == "" and explorer.view["name"] == "held-out state 4"


@pytest.mark.parametrize("kind", ["follow", "roll_out"])
def test_the_page_gets_an_answer_also_when_what_it_asks_for_fails(explorer, monkeypatch, kind):
    def refuse(*_, **__):
        raise UserError("no environment here")

    answers = []
    monkeypatch.setattr(explorer, "send", answers.append)
    monkeypatch.setattr(explorer_module, {"follow": "states_ahead", "roll_out": "returns_from"}[kind], refuse)
    ask(explorer, kind)
    assert answers == [{"kind": "answered"}] and explorer.message == "no environment here"


def test_a_hundred_states_compile_nothing_and_keep_no_memory(explorer):
    def look_around(num):
        for index in range(num):
            explorer.state = index % 40

    look_around(42)
    compiled = decision.look._cached._cache_size()
    gc.collect()
    tracemalloc.start()
    look_around(30)
    first = tracemalloc.get_traced_memory()[0]
    look_around(70)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - first
    tracemalloc.stop()
    assert decision.look._cached._cache_size() == compiled
    assert grown < 500_000  # the arrays of ten states have a megabyte


def test_the_agents_own_settings_are_those_to_reset_to_and_counts_are_those_that_are_drawn():
    exhibit = tiny_exhibit()
    settings = InferenceConfig(500, 2.2, 0.0, 10, 80)
    agent = exhibit.agent.replace(inference=settings)
    explorer = Explorer([Listed(TASK, "changed", lambda: replace(exhibit, agent=agent))])
    assert explorer.inference == InferenceConfig(128, 2.2, 0.0, 8, 80)
    counts = {"num_candidates": 128, "num_returns": 8, "num_flow_steps": 80}
    assert explorer.scene["defaults"] == {"tau_r": 2.2, "tau_q": 0.0, **counts}


def test_an_agent_that_searches_is_refused_because_the_pictures_show_plain_draws():
    exhibit = tiny_exhibit()
    searching = replace(exhibit, agent=exhibit.agent.replace(num_search_steps=1))
    assert "num_search_steps is not 0" in Explorer([Listed(TASK, "mine", lambda: searching)]).message


def test_an_agent_and_its_task_are_all_that_explore_needs(monkeypatch):
    exhibit = tiny_exhibit("mine")
    monkeypatch.setattr(Exhibit, "of", lambda agent, task: exhibit)
    assert explore(exhibit.agent, TASK, state=3).view["name"] == "held-out state 3"
    for state in (10_000, -1):
        with pytest.raises(UserError, match="expected 0 to"):
            explore(exhibit.agent, TASK, state=state)


def test_the_kernel_weighs_by_a_selection_rule_of_ones_own_and_one_without_probabilities_is_a_message():
    exhibit, calls = tiny_exhibit(), []

    def second_best(value, tau_q):
        calls.append(1)
        return jnp.where(jnp.arange(len(value)) == jnp.argsort(-value)[1], 1.0, 0.0)

    explorer = Explorer([listed_with(exhibit, selection=second_best)])
    assert sorted(explorer.weights["values"]) == [0.0] * 7 + [1.0] and not explorer.scene["is_softmax"]
    traced = len(calls)
    explorer.tau_q, explorer.num_candidates = 5.0, 16
    assert len(explorer.weights["values"]) == 16 and explorer.weights["key"] == explorer.view["key"]
    assert explorer.weights["settings"] == {"tau_r": 3.0, "tau_q": 5.0, "num_candidates": 16, "num_returns": 16}
    assert len(calls) == traced  # static under jit, not a reason to compile again
    broken = Explorer([listed_with(exhibit, selection=lambda value, tau_q: jnp.ones_like(value))])
    assert "weights of the selection rule" in broken.message and broken.weights == {}


def listed_with(exhibit, **changes):
    return Listed(TASK, "changed", lambda: replace(exhibit, agent=exhibit.agent.replace(**changes)))


def test_the_static_twin_has_four_pictures_and_the_sentence():
    finder = StateFinder(tiny_exhibit())
    figure, sentence = explorer_figure(finder, finder.at_state(5), finder.exhibit.agent.inference)
    assert len(figure.axes) == 4 and sentence.startswith("At held-out state 5, ")


@pytest.mark.parametrize("changes", [{"num_returns": 9}, {"num_candidates": 129}])
def test_the_static_twin_refuses_counts_that_are_not_drawn(changes):
    finder = StateFinder(tiny_exhibit())
    inference = replace(finder.exhibit.agent.inference, **changes)
    with pytest.raises(UserError, match="which are what the explorer draws"):
        explorer_figure(finder, finder.at_state(5), inference)
