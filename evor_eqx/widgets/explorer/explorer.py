"""The explorer: choose an agent and a state, move tau_R, tau_Q and N_pi, and see what the agent would do and why.

Candidates and their laws are drawn once per state (`explore.look`); sliders only re-weigh them and move artists.
Whatever goes wrong becomes a sentence below the controls; the controls stay usable.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import ipywidgets as w
import numpy as np

from evor_eqx.config import Setting
from evor_eqx.errors import UserError
from evor_eqx.evaluation.monte_carlo import returns_from
from evor_eqx.evaluation.recording import record
from evor_eqx.widgets.canvas import Canvas
from evor_eqx.widgets.controls import control, name_handles, say, spoken
from evor_eqx.widgets.explorer.states import Situation, Surroundings
from evor_eqx.widgets.explorer.view import View
from evor_eqx.widgets.sliders import put, setting_sliders
from evor_eqx.zoo.packed import Entry, catalogue

DATA, ROLLOUT, PLACE = "held-out data", "a rollout", "a place in the maze"  # where states come from
WIDTH, HEIGHT = 490, 350  # of a picture, in pixels of the page


class Explorer:
    """The widget; `box` is what a notebook displays.

    `entries` are the agents to choose from (default: `agents.catalogue()`); the first one is opened, at its `state`.
    """

    def __init__(self, entries: Sequence[Entry] | None = None, state: int = 0):
        self.entries = list(catalogue() if entries is None else entries)
        self.canvases = [Canvas(WIDTH, HEIGHT, name) for name in ("candidates", "laws", "values", "selection")]
        self.text, self.view, self._sentence = spoken(name="sentence"), None, ""
        self.environment = control(
            w.Dropdown(), "environment", "environment", "The dataset, and so the environment, and its reward."
        )
        self.task = control(w.Dropdown(), "task", "task", "Which of the environment's tasks gives the reward.")
        self.critic = control(w.Dropdown(), "critic", "critic run", "The trained critic, with its base policy.")
        self.source = control(w.Dropdown(), "source", "state from", "Where the state to look at comes from.")
        self.state = control(
            w.IntSlider(max=max(state, 1), value=state), "state", "state", "Which of the held-out states."
        )
        self.x = control(w.FloatSlider(step=0.1), "x", "x (m)", "Place in the maze, along the horizontal axis.")
        self.y = control(w.FloatSlider(step=0.1), "y", "y (m)", "Place in the maze, along the vertical axis.")
        self.seed = control(w.IntText(value=0), "seed", "rollout's seed", "Which episode to run with this setting.")
        self.fresh = control(
            w.Button(), "fresh", "Roll out from here", "Add the returns of the base policy's rollouts from this state."
        )
        self.sliders = setting_sliders("tau_r", "tau_q", "num_candidates", "num_returns")
        self.num_flow_steps = control(
            w.IntSlider(min=1, max=50),
            "num-flow-steps",
            "flow steps",
            "Steps in flow time of both flows; another number draws candidates and laws anew.",
        )
        self.reset = control(w.Button(), "reset", "Reset", "Put all sliders back to where this agent starts from.")
        self._busy = False
        _offer(self.environment, dict.fromkeys(entry.task.group for entry in self.entries))
        self._follow()
        self.box = self._arrange()
        self._choose_task()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box, name_handles())

    @property
    def setting(self) -> Setting:
        """What the sliders say."""
        return Setting(**{name: slider.value for name, slider in self.sliders.items()})

    def _follow(self) -> None:
        self.environment.observe(lambda _: self._choose_task(), "value")
        self.task.observe(lambda _: self._choose_critic(), "value")
        self.critic.observe(lambda _: self._open(), "value")
        self.source.observe(lambda _: self._choose_source(), "value")
        self.seed.observe(lambda _: self._choose_source(), "value")
        self.fresh.on_click(lambda _: self._roll_out())
        for slider in (self.state, self.x, self.y, self.num_flow_steps):
            slider.observe(lambda _: self._see(), "value")
        for slider in self.sliders.values():
            slider.observe(lambda _: self._weigh(), "value")
        self.reset.on_click(lambda _: self._reset())

    def _arrange(self) -> w.Widget:
        choices = w.VBox([self.environment, self.task, self.critic, self.source, self.seed, self.state])
        choices.children += (self.x, self.y, self.fresh)
        settings = w.VBox([*self.sliders.values(), self.num_flow_steps, self.reset])
        wrap = w.Layout(flex_flow="row wrap", width="100%")
        pictures = w.Box([canvas.image for canvas in self.canvases], layout=wrap)
        box = w.VBox([w.Box([choices, settings], layout=wrap), self.text, pictures])
        box.add_class("evor-explorer")
        return box

    # From the environment to the picture: each step fills in what the next one chooses from.

    def _choose_task(self) -> None:
        entries = [entry for entry in self.entries if entry.task.group == self.environment.value]
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
        layout = self.surroundings.layout
        _offer(self.source, [DATA, ROLLOUT] + ([PLACE] if self.surroundings.has_places else []))
        if layout is not None:
            size = np.array(layout.walls.shape[::-1]) * layout.unit - layout.offset
            for slider, limit in zip((self.x, self.y), size, strict=True):
                slider.min, slider.max = -layout.offset, float(limit)
        self._prepare_source()

    def _choose_source(self) -> None:
        if self._busy or self.view is None:
            return
        with self._sentences():
            with self._quiet():
                self._prepare_source()
            self._see()

    def _prepare_source(self) -> None:
        """Show the controls that belong to the source of states, and run the episode if it is a rollout."""
        source, agent = self.source.value, self.agent
        shown = {
            self.state: source != PLACE,
            self.seed: source == ROLLOUT,
            self.x: source == PLACE,
            self.y: source == PLACE,
        }
        for widget, visible in shown.items():
            widget.layout.display = "" if visible else "none"
        states = agent.states.rows
        if source == ROLLOUT:
            say(self.text, "Running one episode with this setting …")
            models = agent.policy, agent.critic, agent.task
            self.recording = None
            self.recording = record(*models, self.setting, agent.num_flow_steps, self.seed.value, frames=False)
            states = self.recording.obs
        self.state.max = len(states) - 1

    def _see(self, fresh: np.ndarray | None = None) -> None:
        if self._busy or self.view is None:
            return
        with self._sentences():
            self.view.see(self._situation(), self.num_flow_steps.value, fresh)
            self._weigh()

    def _situation(self) -> Situation:
        index = self.state.value
        if self.source.value == PLACE:
            return self.surroundings.at_place(self.x.value, self.y.value)
        if self.source.value == ROLLOUT:
            if self.recording is None:
                raise UserError("there is no rollout to look at: the last one failed; choose another seed")
            return self.surroundings.at_obs(self.recording.obs[index], f"decision {index} of the rollout")
        return self.surroundings.at_state(index)

    def _roll_out(self) -> None:
        if self.view is None:
            return
        with self._sentences():
            agent, physics = self.agent, self.view.situation.physics
            if physics is None:
                raise UserError("the physics of this state are not known: rollouts start from held-out states")
            say(self.text, "Rolling out the base policy from here …")
            returns = returns_from(agent.policy, None, agent.task, physics, self.setting, agent.num_flow_steps)
            self._see(returns.values)
            say(self.text, f"{self._sentence} Fresh rollouts: {returns.values.mean():.1f} on average; {returns.text}.")

    def _weigh(self) -> None:
        if self._busy or self.view is None:
            return
        with self._sentences():
            self._sentence = self.view.weigh(self.setting)
            say(self.text, self._sentence)
            for canvas, panel in zip(self.canvases, self.view.panels, strict=True):
                canvas.redraw(panel.moving) if panel.is_stale else canvas.refresh()
                panel.is_stale = False

    def _reset(self) -> None:
        if self.view is not None:
            with self._quiet():
                self._put_sliders_back()
            self._see()

    def _put_sliders_back(self) -> None:
        put(self.sliders, self.agent.setting)
        self.num_flow_steps.value = self.agent.num_flow_steps

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


def _offer(dropdown: w.Dropdown, options: Iterable[Any]) -> None:
    """Options to choose from, the first one chosen."""
    dropdown.options = list(options)
    dropdown.index = 0 if dropdown.options else None
