"""What the explorer shares with its page, as traits: settings, where to look, and what is shown."""

import math
from typing import Any

from traitlets import Dict, Enum, Float, HasTraits, Int, List, TraitError, Tuple, Unicode, validate

from evor_eqx.config import InferenceConfig
from evor_eqx.widgets.explorer.arrays import DATA, PLACE, ROLLOUT
from evor_eqx.widgets.explorer.decision import NUM_CANDIDATES, NUM_RETURNS

SETTINGS = ("tau_r", "tau_q", "num_candidates", "num_returns")  # what the page computes with


class _Temperature(Float):
    """A number in [0, inf]."""

    def validate(self, obj: Any, value: Any) -> Any:
        number = super().validate(obj, value)
        if math.isnan(number):
            raise TraitError(f"{self.name}: got nan, expected 0 to inf, in units of return")
        return number


def _temperature(words: str) -> Any:
    """A trait in [0, inf]; JSON has no infinity, so it travels as a word. `words` say what it is."""
    return _Temperature(1.0, min=0.0, help=words).tag(
        sync=True,
        to_json=lambda value, _: "inf" if value == float("inf") else value,
        from_json=lambda value, _: float(value),
    )


class ExplorerTraits(HasTraits):
    """The traits of the explorer. The first ones can be set; from `agents` on, the kernel sets them."""

    tau_r = _temperature("value temperature, in units of return")
    tau_q = _temperature("selection temperature, in units of return")
    num_candidates = Int(32, min=1, max=NUM_CANDIDATES[-1], help="N_pi, 1 to 128").tag(sync=True)
    num_returns = Enum(NUM_RETURNS, 16, help="N, the atoms of a distribution: 1, 4, 8, 16 or 64").tag(sync=True)
    num_flow_steps = Int(10, min=1, help="steps in flow time of both flows").tag(sync=True)

    agent = Int(0, help="an index of `agents`").tag(sync=True)
    source = Enum((DATA, ROLLOUT, PLACE), DATA, help="where the state comes from").tag(sync=True)
    state = Int(0, help="an index of held-out states, or of the rollout's decisions").tag(sync=True)
    place = Tuple(Float(), Float(), default_value=(0.0, 0.0), help="(x, y) in a point maze, in metres").tag(sync=True)
    seed = Int(0, help="of the rollout").tag(sync=True)
    plane = Int(0, help="how candidates are drawn, an index of `scene['choices']`").tag(sync=True)

    agents = List(Dict()).tag(sync=True)  # labels of the agents
    scene = Dict().tag(sync=True)  # what `arrays.scene` says of the agent
    view = Dict().tag(sync=True)  # what `arrays.view` says of the state
    track = Dict().tag(sync=True)  # the way that would follow, in each plane
    weights = Dict().tag(sync=True)  # by a selection rule of one's own, with the settings that they belong to
    last = Int(0).tag(sync=True)  # the largest `state`
    message = Unicode("").tag(sync=True)  # what went wrong

    @validate("agent", "plane")
    def _check_index(self, proposal: Any) -> int:
        name, value = proposal.trait.name, proposal.value
        choices = {"agent": self.agents, "plane": self.scene.get("choices", [])}[name]
        if value and not 0 <= value < len(choices):
            raise TraitError(f"{name}: got {value}, expected 0 to {len(choices) - 1}")
        return value

    @property
    def inference(self) -> InferenceConfig:
        """The inference settings that are shown."""
        return InferenceConfig(**{name: getattr(self, name) for name in (*SETTINGS, "num_flow_steps")})


def drawn(inference: InferenceConfig) -> dict[str, Any]:
    """Inference settings by name, with the nearest counts that the explorer draws."""
    nearest = min(NUM_RETURNS, key=lambda option: abs(option - inference.num_returns))
    counts = {"num_returns": nearest, "num_candidates": min(inference.num_candidates, NUM_CANDIDATES[-1])}
    return {name: getattr(inference, name) for name in (*SETTINGS, "num_flow_steps")} | counts


def as_json(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in the form in which they travel."""
    return {name: "inf" if value == float("inf") else value for name, value in settings.items()}
