"""The rollout viewer: one episode with two inference settings, A and B, on the same seed, side by side.

A button runs and records both. A slider, or Play, then goes through their decisions. Whatever goes wrong becomes a
sentence below the controls, and the controls stay usable. Without OpenGL only the pictures of the physics are missing.
"""

import dataclasses
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as w

from evor_eqx.config import InferenceConfig
from evor_eqx.data.censoring import interval_text
from evor_eqx.envs import rendering
from evor_eqx.errors import UserError, check_kinds
from evor_eqx.evaluation.recording import Recording, record
from evor_eqx.widgets.canvas import Canvas
from evor_eqx.widgets.controls import control, for_the_page, say, spoken
from evor_eqx.widgets.drawing import house_style
from evor_eqx.widgets.rollouts.panels import COLORS, DistributionPanel, FramePanel, PathPanel, ValuePanel, describe
from evor_eqx.widgets.sliders import inference_sliders, put
from evor_eqx.zoo.exhibits import Exhibit

MILLISECONDS = 150  # between two decisions while playing


@dataclass(frozen=True)
class Side:
    """A recording and its panels."""

    recording: Recording
    panels: list[Any]


class RolloutViewer:
    """The viewer's widget; a notebook displays it as the value of a cell. `recordings` are the last ones, by name.

    A starts from the agent's inference settings, B from its base policy (N_pi = 1).

    **Arguments:**

    - `exhibits`: one agent on its task, or several to choose from.

    **Raises:**

    UserError without any.
    """

    def __init__(self, exhibits: Exhibit | Sequence[Exhibit]):
        self.exhibits = list(exhibits) if isinstance(exhibits, Sequence) else [exhibits]
        for exhibit in self.exhibits:
            check_kinds(exhibit=(exhibit, Exhibit))
        self.recordings: dict[str, Recording] = {}
        self._acting = threading.RLock()  # messages of the controls may come in several threads
        if not self.exhibits:
            raise UserError("no agents to roll out: expected at least one; train one with `evor train`")
        self.text, self.canvas, self._sides = spoken(name="sentence"), Canvas(1180, 600, "rollout"), []
        self.canvas.image.layout.display = "none"  # until there is something to see
        options = [(exhibit.name, exhibit) for exhibit in self.exhibits]
        self.exhibit: Any = control(
            w.Dropdown(options=options), "agent", "agent", "The base policy and critic that act."
        )
        self.seed = control(w.IntText(value=0), "seed", "seed", "Decides the start and all draws, for A and B alike.")
        self.sliders = {
            name: inference_sliders("tau_r", "tau_q", "num_candidates", side=name, continuous=False) for name in COLORS
        }
        self.button = control(w.Button(), "record", "Record A and B", "Run one episode with each setting, and keep it.")
        self.play = control(w.Play(interval=MILLISECONDS, max=0), "play", "play", "Go through the decisions.")
        self.decision = control(w.IntSlider(max=0), "decision", "decision", "Which decision of the episodes is shown.")
        self._link = w.jslink((self.play, "value"), (self.decision, "value"))
        self.exhibit.observe(lambda _: self._choose(), "value")
        self.button.on_click(lambda _: self.run())
        self.decision.observe(lambda _: self._show(), "value")
        self.box = self._arrange()
        self._choose()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box, for_the_page())

    def settings(self) -> dict[str, InferenceConfig]:
        """The inference settings that the sliders stand for, of A and of B."""
        start = self.exhibit.value.agent.inference
        return {
            name: dataclasses.replace(start, **{field: slider.value for field, slider in group.items()})
            for name, group in self.sliders.items()
        }

    def run(self) -> None:
        """Record both settings, as the button does."""
        with self._acting:
            self._run()

    def _run(self) -> None:
        self.button.disabled = True
        try:
            exhibit, recordings = self.exhibit.value, {}
            for name, inference in self.settings().items():
                say(self.text, f"Recording {name}: one episode of {exhibit.name}, seed {self.seed.value} …")
                agent = exhibit.agent.replace(inference=inference)
                recordings[name] = record(agent, exhibit.task, self.seed.value)
            self.recordings = recordings
            self._draw()
            say(self.text, sentence(self.recordings))
        except (UserError, OSError) as error:
            say(self.text, f"{error}")
        finally:
            self.button.disabled = False

    def _arrange(self) -> w.Widget:
        wrap = w.Layout(flex_flow="row wrap", width="100%")
        groups = [w.VBox([w.HTML(f"<b>{name}</b>"), *group.values()]) for name, group in self.sliders.items()]
        choices = w.VBox([self.exhibit, self.seed, self.button])
        steps = w.Box([self.play, self.decision], layout=wrap)
        box = w.VBox([w.Box([choices, *groups], layout=wrap), self.text, steps, self.canvas.image])
        box.add_class("evor-viewer")
        return box

    def _choose(self) -> None:
        """Put the sliders where the chosen agent starts from; nothing is recorded yet."""
        inference: InferenceConfig = self.exhibit.value.agent.inference
        for name, num_candidates in zip(COLORS, (inference.num_candidates, 1), strict=True):
            put(self.sliders[name], dataclasses.replace(inference, num_candidates=num_candidates))
        say(self.text, "Choose two settings and a seed, then press “Record A and B”.")

    def _draw(self) -> None:
        """Set up the pictures of new recordings, and go to their beginning."""
        self._sides, figure = [], self.canvas.figure
        # To the beginning before there may be fewer decisions: a value that a new maximum cuts off is sent to the page,
        # whose link of both controls sends it back when the kernel is at the beginning already.
        self.play.playing, self.play.value, self.decision.value = False, 0, 0
        last = max(len(recording.step) for recording in self.recordings.values()) - 1
        with house_style():
            figure.clear()
            figure.set_layout_engine("constrained")
            parts: Any = figure.subfigures(1, len(self.recordings), squeeze=False)
            for part, (name, recording) in zip(parts.flat, self.recordings.items(), strict=True):
                axes, color = part.subplots(2, 2), COLORS[name]
                part.suptitle(f"{name}: {describe(recording)}", fontsize=11, fontweight="bold", color=color)
                kinds = zip((PathPanel, DistributionPanel, ValuePanel), axes.flat[1:], strict=True)
                panels = [FramePanel(axes[0, 0], recording), *(kind(ax, recording, color) for kind, ax in kinds)]
                self._sides.append(Side(recording, panels))
            self._move(0)
            self.canvas.redraw([artist for side in self._sides for panel in side.panels for artist in panel.moving])
        self.canvas.image.layout.display = ""
        self.play.max = self.decision.max = last

    def _show(self) -> None:
        with self._acting:
            if self._sides:
                self._move(self.decision.value)
                self.canvas.refresh()

    def _move(self, decision: int) -> None:
        for side in self._sides:
            for panel in side.panels:
                panel.show(min(decision, len(side.recording.step) - 1))


def sentence(recordings: dict[str, Recording]) -> str:
    """What happened in recordings (by name), and why there are no pictures if there are none."""
    parts = [outcome(name, recording) for name, recording in recordings.items()]
    starts = [recording.picked_value[0] for recording in recordings.values()]
    followed = [interval_text(recording.return_to_go.at(0)) for recording in recordings.values()]
    expected = ", ".join(
        f"{name}: {start:.1f} against {text}" for name, start, text in zip(recordings, starts, followed, strict=True)
    )
    text = f"{'; '.join(parts)}. At the start, Q* against the return that followed: {expected}."
    if any(not recording.terminated for recording in recordings.values()):
        text += " A return that the time limit cut off is known between bounds: the later, the less."
    has_pictures = all(recording.frames is not None for recording in recordings.values())
    return text if has_pictures else f"{text} {rendering.prepare() or 'Recorded without pictures.'}"


def outcome(name: str, recording: Recording) -> str:
    """What came of an episode, e.g. "A reached the goal after 120 steps"."""
    episode = recording.episode
    if episode.success is None:
        return f"{name} has the return {episode.ret:.1f} after {episode.length} steps"
    did, do, aim = ("reached", "reach", "the goal") if recording.layout else ("solved", "solve", "the task")
    if episode.success:
        return f"{name} {did} {aim} after {episode.length} steps"
    return f"{name} did not {do} {aim} within {episode.length} steps"
