"""The explorer's controls: what to look at, and the inference settings."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import ipywidgets as w

from evor_eqx.config import InferenceConfig
from evor_eqx.envs.ogbench import MazeLayout
from evor_eqx.widgets.controls import control
from evor_eqx.widgets.explorer.decision import NUM_CANDIDATES
from evor_eqx.widgets.sliders import inference_sliders, put

DATA, ROLLOUT, PLACE = "held-out data", "a rollout", "a place in the maze"  # where states come from


class Controls:
    """All controls, and how they are arranged; `state` is the held-out state to begin with."""

    def __init__(self, state: int):
        self.environment = control(
            w.Dropdown(), "environment", "environment", "The dataset, and so the environment, and its reward."
        )
        self.task = control(w.Dropdown(), "task", "task", "Which of the environment's tasks gives the reward.")
        self.critic = control(w.Dropdown(), "critic", "critic run", "The trained critic, with its base policy.")
        self.source = control(w.Dropdown(), "source", "state from", "Where the state to look at comes from.")
        self.plane = control(
            w.Dropdown(), "plane", "candidates by", "The two coordinates in which chunks of actions are drawn."
        )
        self.state = control(
            w.IntSlider(max=max(state, 1), value=state), "state", "state", "Which of the held-out states."
        )
        self.x = control(w.FloatSlider(step=0.1), "x", "x (m)", "Place in the maze, along the horizontal axis.")
        self.y = control(w.FloatSlider(step=0.1), "y", "y (m)", "Place in the maze, along the vertical axis.")
        self.seed = control(w.IntText(value=0), "seed", "rollout's seed", "Which episode to run with these settings.")
        self.fresh = control(
            w.Button(), "fresh", "Roll out from here", "Add the returns of the base policy's rollouts from this state."
        )
        self.sliders = inference_sliders("tau_r", "tau_q", "num_candidates", "num_returns")
        self.num_flow_steps = control(
            w.IntSlider(min=1, max=50),
            "num-flow-steps",
            "flow steps",
            "Steps in flow time of both flows; another number draws candidates and distributions anew.",
        )
        self.reset = control(w.Button(), "reset", "Reset", "Put all sliders back to where this agent starts from.")

    @property
    def inference(self) -> InferenceConfig:
        """The inference settings shown by the sliders."""
        values = {name: slider.value for name, slider in self.sliders.items()}
        return InferenceConfig(**values, num_flow_steps=self.num_flow_steps.value)

    def put(self, inference: InferenceConfig) -> None:
        """Move the sliders to inference settings, or to the nearest counts that the explorer draws."""
        put(self.sliders, replace(inference, num_candidates=min(inference.num_candidates, NUM_CANDIDATES[-1])))
        self.num_flow_steps.max = max(self.num_flow_steps.max, inference.num_flow_steps)
        self.num_flow_steps.value = inference.num_flow_steps

    def show_source(self) -> None:
        """Show the controls that belong to the chosen source of states, and hide the others."""
        source = self.source.value
        shown = {
            self.state: source != PLACE,
            self.seed: source == ROLLOUT,
            self.x: source == PLACE,
            self.y: source == PLACE,
        }
        for widget, visible in shown.items():
            widget.layout.display = "" if visible else "none"

    def fit_to(self, layout: MazeLayout) -> None:
        """Set the ranges of the sliders x and y to the extent of a maze."""
        sizes = layout.walls.shape[::-1]
        for slider, size in zip((self.x, self.y), sizes, strict=True):
            slider.min, slider.max = -layout.offset, float(size * layout.unit - layout.offset)

    def arrange(self, text: w.Widget, pictures: list[w.Widget]) -> w.Widget:
        """One box with the controls, a line of text and the pictures, which wrap where the page is narrow."""
        choices = w.VBox([self.environment, self.task, self.critic, self.source, self.seed, self.state])
        choices.children += (self.x, self.y, self.plane, self.fresh)
        settings = w.VBox([*self.sliders.values(), self.num_flow_steps, self.reset])
        wrap = w.Layout(flex_flow="row wrap", width="100%")
        box = w.VBox([w.Box([choices, settings], layout=wrap), text, w.Box(pictures, layout=wrap)])
        box.add_class("evor-explorer")
        return box


def offer(dropdown: w.Dropdown, options: Iterable[Any]) -> None:
    """Give a dropdown its options, and choose the first one."""
    dropdown.options = list(options)
    dropdown.index = 0 if dropdown.options else None
