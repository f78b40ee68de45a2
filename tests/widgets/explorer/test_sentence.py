"""The explorer's sentence says what the choice means, with few numbers."""

import re

import numpy as np
import pytest

from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.envs.return_bounds import ReturnBounds
from evor_eqx.widgets.explorer.decision import Reading
from evor_eqx.widgets.explorer.panels import PanelData
from evor_eqx.widgets.explorer.sentence import sentence
from evor_eqx.widgets.explorer.states import ShownState


def known(returns, missing=0.0):
    """Returns of which a weight of what would have followed is missing."""
    return CensoredReturns(np.array(returns, float), np.full(len(returns), missing), ReturnBounds(-100.0, 0.0))


def said(
    weights, value=-20.0, recorded=(-30.0, -28.0), picked=0, is_softmax=True, mean=-40.0, largest=-10.0, missing=0.0
):
    n = len(weights)
    values = np.array([value, *np.full(n - 1, value - 1)])
    low, high, curves, kl = np.full(n, mean), np.full(n, largest), np.tile(values, (46, 1)), np.array(1.0)
    effective = 1 / np.sum(np.square(weights))
    reading = Reading(values, np.array(weights), np.array(picked), curves, low, high, effective, kl)
    data = PanelData(None, reading, n, 0, 3.0, False)
    return sentence(data, ShownState("held-out state 3", None, None, known(recorded, missing), None), is_softmax)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([0.97, 0.03], "the choice is almost certain (97% for the best of 2 candidates): it leads by much more than"),
        ([0.6, 0.2, 0.2], "the best of 3 candidates is preferred, but not sure to be picked (60%, by chance 33%)"),
        ([0.26, 0.25, 0.25, 0.24], "all 4 candidates are about equally likely, so the agent acts like the base policy"),
        ([1.0], "there is one candidate, so the base policy decides"),
    ],
)
def test_it_says_how_sure_the_choice_is_and_why(weights, words):
    assert said(weights).startswith(f"At held-out state 3, {words}")
    assert "τ_Q" not in said(weights, is_softmax=False)  # a rule of one's own may not know it


@pytest.mark.parametrize(
    ("value", "words"),
    [(-11.0, "near the best return"), (-25.0, "between the mean and the best"), (-39.0, "near the mean return")],
)
def test_it_says_what_the_value_is_of_the_distribution(value, words):
    assert words in said([0.6, 0.4], value=value)
    assert "so is every return" in said([0.6, 0.4], value=value, mean=value, largest=value)


def test_it_says_what_the_mean_would_have_preferred_and_where_that_changes():
    assert "The mean and every other τ_R would choose the same one." in said([0.6, 0.4])
    # By hand: candidate 1 has the larger mean, candidate 0 the larger maximum. Q* of 0 falls in equal steps on the
    # logarithmic grid from -10 to -56, that of 1 stays at -30: they cross at a share 20 / 46 between 0.01 and 1000.
    curves = np.stack([np.linspace(-10, -56, 46), np.full(46, -30.0)], axis=1)
    values = np.array([-20.0, -30.0])
    number = np.array(1.0)
    lowest, highest = np.array([-60.0, -30.0]), np.array([-10.0, -30.0])
    reading = Reading(values, np.array([0.6, 0.4]), np.array(0), curves, lowest, highest, number, number)
    data = PanelData(None, reading, 2, 0, 0.05, False)
    text = sentence(data, ShownState("here", None, None, known([]), None), True)
    assert "The mean would choose another one, number 2 by Q*" in text
    assert f"changes at τ_R = {10 ** (-2 + 5 * 20 / 46):.2g}." in text


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ((-30.0, -28.0), "that is more than was recorded nearby (-29.0"),
        ((-10.0, -8.0), "that is less than was recorded nearby (-9.0"),
        ((-30.0, -11.0), "that is about as much as was recorded nearby"),
        ((), "No return recorded nearby is known: the recordings end too soon."),
    ],
)
def test_it_compares_with_what_was_recorded(recorded, words):
    assert words in said([0.6, 0.4], recorded=recorded)


@pytest.mark.parametrize(
    ("value", "words"),
    [(-40.0, "less than"), (-30.0, "about as much as"), (-19.0, "about as much as"), (-5.0, "more than")],
)
def test_between_the_bounds_of_returns_that_were_cut_off_nothing_is_more_or_less(value, words):
    # 0.2 of what would have followed is missing: a return is 0 to 20 less than what was recorded.
    text = said([0.6, 0.4], value=value, recorded=(-16.0, -14.0), missing=0.2, mean=-50.0, largest=0.0)
    assert f"that is {words} was recorded nearby (-35.0 to -15.0 on average)" in text


def test_the_best_one_is_spoken_of_unless_there_is_only_one():
    assert "The best one's Q* is -20.0" in said([0.6, 0.4]) and "Its Q* is -20.0" in said([1.0])


def test_more_and_less_are_told_by_the_error_of_the_average_not_by_how_far_returns_spread():
    recorded = np.repeat([-100.0, -50.0], 24)  # -75 on average, and their standard error is 3.6
    assert "that is less than was recorded nearby (-75.0" in said(
        [0.6, 0.4], value=-96.0, recorded=recorded, mean=-99.0
    )
    assert "that is about as much as" in said([0.6, 0.4], value=-80.0, recorded=recorded, mean=-99.0)


def test_a_rule_of_ones_own_may_prefer_another_one_than_the_best_by_value():
    text = said([0.0, 1.0, 0.0], is_softmax=False, picked=1)
    assert "the agent's rule prefers number 2 of 3 by Q* (100%)" in text
    assert "about equally likely" in said([1 / 3] * 3, is_softmax=False)


def test_ties_are_rounded_away_from_zero_as_a_page_rounds_them():
    assert "Q* is -12.3," in said([0.6, 0.4], value=-12.25) and "Q* is 0.3," in said([0.6, 0.4], value=0.25)
    assert "(63%, by chance 25%)" in said([0.625, 0.125, 0.125, 0.125])


def test_numbers_are_few_and_a_draw_of_another_candidate_is_told():
    text = said([0.6, 0.2, 0.2], picked=2)
    assert "This draw picks number 3 by Q* instead." in text and "instead" not in said([0.6, 0.2, 0.2])
    assert len(re.findall(r"\d+", text.replace("state 3", ""))) <= 8  # N_pi, two probabilities, Q* and recorded: x.y
