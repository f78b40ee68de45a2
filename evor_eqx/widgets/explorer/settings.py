"""The explorer's inference settings as traits."""

from typing import Any

from traitlets import Float

from evor_eqx.config import InferenceConfig
from evor_eqx.widgets.explorer.decision import NUM_CANDIDATES, NUM_RETURNS

SETTINGS = ("tau_r", "tau_q", "num_candidates", "num_returns")  # what the page computes with


def temperature() -> Any:
    """A trait in [0, inf]; JSON has no infinity, so it travels as a word."""
    return Float(1.0, min=0.0).tag(
        sync=True,
        to_json=lambda value, _: "inf" if value == float("inf") else value,
        from_json=lambda value, _: float(value),
    )


def drawn(inference: InferenceConfig) -> dict[str, Any]:
    """Inference settings by name, with the nearest counts that the explorer draws."""
    nearest = min(NUM_RETURNS, key=lambda option: abs(option - inference.num_returns))
    counts = {"num_returns": nearest, "num_candidates": min(inference.num_candidates, NUM_CANDIDATES[-1])}
    return {name: getattr(inference, name) for name in (*SETTINGS, "num_flow_steps")} | counts


def as_json(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in the form in which they travel."""
    return {name: "inf" if value == float("inf") else value for name, value in settings.items()}
