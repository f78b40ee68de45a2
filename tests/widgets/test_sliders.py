"""Sliders of inference settings: what is set is what they show, on a grid of round numbers."""

import pytest

from evor_eqx.presets import PRESETS, preset
from evor_eqx.suite.methods import TAUS_Q, TAUS_R, TEMPERATURES
from evor_eqx.widgets.sliders import inference_sliders, put

NAMES = ("tau_r", "tau_q", "num_candidates", "num_returns")


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_stays_what_it_is_and_needs_no_new_position(name):
    inference, sliders = preset(name).inference, inference_sliders(*NAMES)
    positions = {each: slider._options_labels for each, slider in sliders.items()}
    put(sliders, inference)
    assert {each: slider.value for each, slider in sliders.items()} == {
        each: getattr(inference, each) for each in NAMES
    }
    assert {each: slider._options_labels for each, slider in sliders.items()} == positions


def test_the_recipes_temperatures_are_positions():
    sliders = inference_sliders("tau_r", "tau_q")
    for tau_r, tau_q in [*TEMPERATURES.values(), *zip(TAUS_R[:-1], TAUS_Q[1:], strict=False)]:
        assert tau_r in sliders["tau_r"]._options_values and tau_q in sliders["tau_q"]._options_values


@pytest.mark.parametrize("value", [3.0, 0.3, 2.2, 0.0123456, 0.0, float("inf"), 1e-5, 1234.5])
def test_a_temperature_that_is_set_is_the_shown_one_and_still_there_after_a_step_away(value):
    (slider,) = inference_sliders("tau_r").values()
    heard = []
    slider.observe(lambda change: heard.append(change["new"]), "value")
    slider.value = value
    assert slider.value == value and heard == [value]  # no position in between is heard of
    assert float(slider._options_labels[slider.index]) == value  # what the page shows
    assert list(slider._options_values) == sorted(set(slider._options_values))
    index = slider.index
    slider.index = index - 1 if index else index + 1
    slider.index = index
    assert slider.value == value
