"""Sliders of inference settings: temperatures on logarithmic scales, counts in powers of two."""

from typing import Any

import ipywidgets as w

from evor_eqx.config import InferenceConfig
from evor_eqx.widgets.controls import control
from evor_eqx.widgets.explorer.decision import NUM_CANDIDATES, NUM_RETURNS

_KINDS: dict[str, tuple[Any, str, str]] = {
    "tau_r": (
        (-2, 3),
        "τ_R, value temperature",
        "Small: Q* is the distribution's upper tail; large: its mean. In units of return.",
    ),
    "tau_q": (
        (-3, 2),
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
        if name.startswith("tau"):
            low, high = scale
            slider = w.FloatLogSlider(min=low, max=high, step=0.05, readout_format=".3g", continuous_update=continuous)
        else:
            slider = w.SelectionSlider(options=scale, continuous_update=continuous)
        class_name = name.replace("_", "-") + (f"-{side.lower()}" if side else "")
        sliders[name] = control(slider, class_name, f"{side}: {label}" if side else label, tooltip)
    return sliders


def put(sliders: dict[str, Any], inference: InferenceConfig) -> None:
    """Move sliders to inference settings, or to the nearest positions that they have."""
    for name, slider in sliders.items():
        value = getattr(inference, name)
        if isinstance(slider, w.SelectionSlider):
            value = min(slider.options, key=lambda option: abs(option - value))
        else:
            value = min(max(value, slider.base**slider.min), slider.base**slider.max)
        slider.value = value
