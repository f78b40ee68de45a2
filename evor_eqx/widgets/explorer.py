"""The explorer: choose an agent and a state, move tau_R, tau_Q and N_pi, and see what the agent would do and why.

Candidates and their laws are drawn once per state (`explore.look`); sliders only re-weigh them and move artists.
Whatever goes wrong becomes a sentence below the controls; the controls stay usable.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import ipywidgets as w
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evor_eqx import explore, paths
from evor_eqx.agents import Agent, Entry, catalogue
from evor_eqx.config import Setting
from evor_eqx.errors import UserError
from evor_eqx.explore import NUM_CANDIDATES, NUM_RETURNS
from evor_eqx.situations import Situation, Surroundings
from evor_eqx.widgets.canvas import Canvas
from evor_eqx.widgets.controls import control, name_handles, say, spoken
from evor_eqx.widgets.panels import CandidatesPanel, LawsPanel, SelectionPanel, Shown, ValuePanel

KEY = jax.random.key(0)  # of the candidates: the same state shows the same ones
WIDTH, HEIGHT = 490, 350  # of a picture, in pixels of the page


class View:
    """An agent's four panels, on four axes that `make_axes` makes, and the numbers that they show."""

    def __init__(self, agent: Agent, surroundings: Surroundings, make_axes: Callable[[], Sequence[Axes]]):
        self.agent, self.surroundings = agent, surroundings
        unit = "m" if surroundings.layout is not None else "m from the gripper"
        with style.context(paths.style_file()):
            axes = make_axes()
            self.candidates = CandidatesPanel(axes[0], unit, surroundings.layout)
            self.laws, self.values, self.selection = LawsPanel(axes[1]), ValuePanel(axes[2]), SelectionPanel(axes[3])
        self.panels = (self.candidates, self.laws, self.values, self.selection)

    def see(self, situation: Situation, num_flow_steps: int, fresh: np.ndarray | None = None) -> None:
        """Draw candidates and laws at a state; `weigh` must follow."""
        agent, chunk = self.agent, situation.data_chunk
        data_chunk = jnp.zeros(agent.policy.chunk_size) if chunk is None else jnp.asarray(chunk)
        obs, steps = jnp.asarray(situation.obs), jnp.asarray(num_flow_steps)
        self.look = explore.look(agent.policy, agent.critic, obs, data_chunk, steps, key=KEY)
        self.situation = situation
        origin = self.surroundings.origin(situation.obs)
        ends = explore.displacement(agent.task, np.asarray(self.look.chunks), agent.dataset.act.shape[1])
        self.candidates.state(origin, origin + ends)
        self.laws.state(self.look, situation.recorded, np.empty(0) if fresh is None else fresh)
        self.values.state(self.look)

    def weigh(self, setting: Setting) -> str:
        """Move the artists to what a setting makes of the state; returns the sentence that says it."""
        n, index = setting.num_candidates, NUM_RETURNS.index(setting.num_returns)
        numbers = (jnp.asarray(value) for value in (n, index, setting.tau_r, setting.tau_q))
        reading = jax.tree.map(np.asarray, explore.weigh(self.look, *numbers))
        shown = Shown(self.look, reading, n, index, setting.tau_r, self.situation.data_chunk is not None)
        for panel in self.panels:
            panel.reading(shown)
        return _sentence(shown, setting, self.situation)


class Explorer:
    """The widget; `box` is what a notebook displays.

    `entries` are the agents to choose from (default: `agents.catalogue()`); the first one is opened, at its `state`.
    """

    def __init__(self, entries: Sequence[Entry] | None = None, state: int = 0):
        self.entries = list(catalogue() if entries is None else entries)
        self.canvases = [Canvas(WIDTH, HEIGHT, name) for name in ("candidates", "laws", "values", "selection")]
        self.text, self.view = spoken(name="sentence"), None
        self.environment = control(w.Dropdown(), "environment", "environment", "The dataset, and so the environment.")
        self.task = control(w.Dropdown(), "task", "task", "Which of the environment's tasks gives the reward.")
        self.critic = control(w.Dropdown(), "critic", "critic run", "The trained critic, with its base policy.")
        self.source = control(w.Dropdown(), "source", "state from", "Where the state to look at comes from.")
        self.state = control(
            w.IntSlider(max=max(state, 1), value=state), "state", "state", "Which of the held-out states."
        )
        self.x = control(w.FloatSlider(step=0.1), "x", "x (m)", "Place in the maze, along the horizontal axis.")
        self.y = control(w.FloatSlider(step=0.1), "y", "y (m)", "Place in the maze, along the vertical axis.")
        self.sliders = _setting_sliders()
        self.reset = control(w.Button(), "reset", "Reset", "Put all sliders back to where this agent starts from.")
        self._busy = False
        _offer(self.environment, dict.fromkeys(entry.task.dataset for entry in self.entries))
        self._follow()
        self.box = self._arrange()
        self._choose_task()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box, name_handles())

    @property
    def setting(self) -> Setting:
        """What the sliders say."""
        return Setting(**{name: self.sliders[name].value for name in _SETTING})

    def _follow(self) -> None:
        self.environment.observe(lambda _: self._choose_task(), "value")
        self.task.observe(lambda _: self._choose_critic(), "value")
        self.critic.observe(lambda _: self._open(), "value")
        self.source.observe(lambda _: self._choose_source(), "value")
        for slider in (self.state, self.x, self.y, self.sliders["num_flow_steps"]):
            slider.observe(lambda _: self._see(), "value")
        for name in _SETTING:
            self.sliders[name].observe(lambda _: self._weigh(), "value")
        self.reset.on_click(lambda _: self._reset())

    def _arrange(self) -> w.Widget:
        choices = w.VBox([self.environment, self.task, self.critic, self.source, self.state, self.x, self.y])
        settings = w.VBox([*self.sliders.values(), self.reset])
        wrap = w.Layout(flex_flow="row wrap", width="100%")
        pictures = w.Box([canvas.image for canvas in self.canvases], layout=wrap)
        box = w.VBox([w.Box([choices, settings], layout=wrap), self.text, pictures])
        box.add_class("evor-explorer")
        return box

    # From the environment to the picture: each step fills in what the next one chooses from.

    def _choose_task(self) -> None:
        entries = [entry for entry in self.entries if entry.task.dataset == self.environment.value]
        with self._quiet():
            _offer(self.task, dict.fromkeys((f"task {e.task.task_id}", e.task) for e in entries))
        self._choose_critic()

    def _choose_critic(self) -> None:
        if self._busy:
            return
        with self._quiet():
            _offer(self.critic, [(e.label, e) for e in self.entries if e.task == self.task.value])
        self._open()

    def _open(self) -> None:
        if self._busy:
            return
        self.view = None
        with self._sentences(), self._quiet():
            if self.critic.value is None:
                raise UserError("no trained agent here: run `evor train pointmaze-medium-navigate-task1`, then again")
            self.agent = self.critic.value.load()
            self.surroundings = Surroundings(self.agent)
            self.view = View(self.agent, self.surroundings, lambda: [canvas.clear() for canvas in self.canvases])
            self._offer_states()
            self._put_sliders_back()
        self._see()

    def _offer_states(self) -> None:
        layout, is_point = self.surroundings.layout, self.agent.task.dataset.startswith("pointmaze")
        _offer(self.source, ["held-out data"] + (["a place in the maze"] if is_point else []))
        self.state.max = len(self.agent.states.rows) - 1
        if layout is not None:
            size = np.array(layout.walls.shape[::-1]) * layout.unit - layout.offset
            for slider, limit in zip((self.x, self.y), size, strict=True):
                slider.min, slider.max = -layout.offset, float(limit)
        self._show_state_controls()

    def _choose_source(self) -> None:
        self._show_state_controls()
        self._see()

    def _show_state_controls(self) -> None:
        place = self.source.value == "a place in the maze"
        for widget, visible in ((self.state, not place), (self.x, place), (self.y, place)):
            widget.layout.display = "" if visible else "none"

    def _see(self) -> None:
        if self._busy or self.view is None:
            return
        with self._sentences():
            self.view.see(self._situation(), self.sliders["num_flow_steps"].value)
            self._weigh(whole=True)

    def _situation(self) -> Situation:
        if self.source.value == "a place in the maze":
            return self.surroundings.at_place(self.x.value, self.y.value)
        return self.surroundings.at_state(self.state.value)

    def _weigh(self, whole: bool = False) -> None:
        if self._busy or self.view is None:
            return
        with self._sentences():
            say(self.text, self.view.weigh(self.setting))
            for canvas, panel in zip(self.canvases, self.view.panels, strict=True):
                canvas.redraw(panel.moving) if whole else canvas.refresh()

    def _reset(self) -> None:
        if self.view is not None:
            with self._quiet():
                self._put_sliders_back()
            self._see()

    def _put_sliders_back(self) -> None:
        for name in _SETTING:
            slider, value = self.sliders[name], getattr(self.agent.setting, name)
            if isinstance(slider, w.SelectionSlider):
                value = min(slider.options, key=lambda option: abs(option - value))
            slider.value = value
        self.sliders["num_flow_steps"].value = self.agent.num_flow_steps

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """While several controls are set, none of them acts."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        """What goes wrong is said, not raised."""
        try:
            yield
        except (UserError, OSError) as error:
            say(self.text, f"{error}")


def explorer_figure(agent: Agent, situation: Situation, setting: Setting, surroundings: Surroundings) -> tuple:
    """The explorer's pictures on one figure, and its sentence: the static twin."""
    figure = Figure(figsize=(10.5, 7.6), layout="constrained")
    view = View(agent, surroundings, lambda: figure.subplots(2, 2).ravel())
    view.see(situation, agent.num_flow_steps)
    return figure, view.weigh(setting)


def _offer(dropdown: w.Dropdown, options: Iterable[Any]) -> None:
    """Options to choose from, the first one chosen."""
    dropdown.options = list(options)
    dropdown.index = 0 if dropdown.options else None


_SETTING = ("num_candidates", "tau_r", "tau_q", "num_returns")


def _setting_sliders() -> dict[str, Any]:
    def log_slider(low, high):
        return w.FloatLogSlider(min=low, max=high, step=0.05, readout_format=".3g")

    return {
        "tau_r": control(
            log_slider(-2, 3),
            "tau-r",
            "τ_R, value temperature",
            "Small: Q* is the law's upper tail; large: its mean. In units of return.",
        ),
        "tau_q": control(
            log_slider(-3, 2),
            "tau-q",
            "τ_Q, selection temperature",
            "Small: the best candidate; large: the base policy. In units of return.",
        ),
        "num_candidates": control(
            w.SelectionSlider(options=NUM_CANDIDATES),
            "num-candidates",
            "N_π, candidates",
            "How many actions are drawn from the base policy to choose from.",
        ),
        "num_returns": control(
            w.SelectionSlider(options=NUM_RETURNS),
            "num-returns",
            "N, atoms per law",
            "How many returns stand for each candidate's law.",
        ),
        "num_flow_steps": control(
            w.IntSlider(min=1, max=50),
            "num-flow-steps",
            "flow steps",
            "Steps in flow time of both flows; another number draws candidates and laws anew.",
        ),
    }


def _sentence(shown: Shown, setting: Setting, situation: Situation) -> str:
    reading, n = shown.reading, shown.num_candidates
    best, picked = shown.roles["best"], int(reading.index)
    law = [np.asarray(array)[shown.count_index, best] for array in (shown.look.laws.atoms, shown.look.laws.weights)]
    atoms = law[0][law[1] > 0]
    return (
        f"At {situation.name}, with τ_R = {setting.tau_r:.3g} and τ_Q = {setting.tau_q:.3g}: the best of {n} "
        f"candidates has Q* = {reading.value[best]:.1f} (its law runs from {atoms.min():.1f} to {atoms.max():.1f}) and "
        f"is picked with probability {reading.weights[best]:.0%}; {reading.num_effective:.1f} of {n} count, the choice "
        f"is {abs(reading.kl):.2f} nats from the base policy. "
        + (
            "This draw picks the best."
            if picked == best
            else f"This draw picks one with Q* = {reading.value[picked]:.1f}."
        )
        + f" Returns recorded nearby: {situation.recorded.mean():.1f} on average."
    )
