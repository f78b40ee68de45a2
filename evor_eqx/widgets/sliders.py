"""Sliders of inference settings: temperatures in round numbers, counts in powers of two, and any value that is set."""

from collections.abc import Sequence
from typing import Any

import ipywidgets as w
from traitlets import observe, validate

from evor_eqx.config import InferenceConfig
from evor_eqx.widgets.controls import control
from evor_eqx.widgets.explorer.decision import NUM_CANDIDATES, NUM_RETURNS

_DIGITS = ("1", "1.2", "1.4", "1.6", "1.8", "2", "2.5", "3", "3.5", "4", "5", "6", "7", "8", "9")


def _round_numbers(low: int, high: int) -> list[float]:
    """Round numbers from 10^low to 10^high, about evenly spaced on a logarithmic scale."""
    return [float(f"{digits}e{power}") for power in range(low, high) for digits in _DIGITS] + [10.0**high]


_KINDS: dict[str, tuple[Any, str, str]] = {
    "tau_r": (
        _round_numbers(-2, 3),
        "τ_R, value temperature",
        "Small: Q* is the distribution's upper tail; large: its mean. In units of return.",
    ),
    "tau_q": (
        _round_numbers(-3, 2),
        "τ_Q, selection temperature",
        "Small: the best candidate; large: the base policy. In units of return.",
    ),
    "num_candidates": (
        NUM_CANDIDATES,
        "N_π, candidates",
        "How many actions are drawn from the base policy to choose from.",
    ),
    "num_returns": (
        NUM_RETURNS,
        "N, atoms per distribution",
        "How many returns stand for each candidate's distribution.",
    ),
}


class Scale(w.SelectionSlider):
    """A slider over increasing numbers. A value that is none of them becomes one, so it stays what it was set to.

    ipywidgets' own logarithmic slider shows the nearest position of its grid instead: 3.16 for 3.
    """

    def __init__(self, options: Sequence[int | float], **others: Any):
        super().__init__(options=options, value=options[0], **others)

    @validate("value")
    def _validate_value(self, proposal: Any) -> Any:
        if proposal.value not in self._options_values:
            values: Any = self._options_values
            self.options = sorted([*values, proposal.value])
        return proposal.value

    @observe("options")
    def _propagate_options(self, change: Any) -> None:
        """Take over new options; the value stays, while ipywidgets would choose the first one."""
        before = self.value
        pairs: Any = self._options_full
        values = self._options_values = tuple(value for _, value in pairs)
        self.set_trait("_options_labels", tuple(_label(value) for value in values))
        if before in self._options_values:
            self.index = self._options_values.index(before)


def _label(value: int | float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else f"{value:.10g}"


def inference_sliders(*names: str, side: str = "", continuous: bool = True) -> dict[str, Any]:
    """Make sliders for fields of `InferenceConfig`.

    **Arguments:**

    - `names`: the fields: tau_r, tau_q, num_candidates, num_returns.
    - `side`: prefix of their labels and suffix of their classes (`evor-tau-r-a`), if a view has two sets of sliders.
    - `continuous`: whether they report while they are dragged, or only when they are released.

    **Returns:**

    The sliders by field.
    """
    sliders = {}
    for name in names:
        scale, label, tooltip = _KINDS[name]
        kind = w.SelectionSlider if name == "num_returns" else Scale  # no other number of atoms is drawn
        slider = kind(options=scale, continuous_update=continuous)
        class_name = name.replace("_", "-") + (f"-{side.lower()}" if side else "")
        sliders[name] = control(slider, class_name, f"{side}: {label}" if side else label, tooltip)
    return sliders


def put(sliders: dict[str, Any], inference: InferenceConfig) -> None:
    """Move sliders to inference settings; the number of atoms goes to the nearest one that is drawn."""
    for name, slider in sliders.items():
        value = getattr(inference, name)
        if name == "num_returns":
            value = min(slider.options, key=lambda option: abs(option - value))
        slider.value = value
