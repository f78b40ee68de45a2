"""The explorer: choose an agent and a state, move tau_R, tau_Q and N_pi, and see what the agent would do and why.

Candidates and their return distributions are drawn once for each state (`decision.look`). Sliders only re-weigh them
and move artists. Errors are shown as a sentence below the controls, and the controls stay usable.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from evor_eqx.agent.agent import Agent
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError, check_kinds
from evor_eqx.evaluation.monte_carlo import returns_from
from evor_eqx.evaluation.recording import record
from evor_eqx.widgets.canvas import Canvas
from evor_eqx.widgets.controls import for_the_page, say, spoken
from evor_eqx.widgets.explorer.controls import DATA, PLACE, ROLLOUT, Controls, offer
from evor_eqx.widgets.explorer.states import ShownState, StateFinder
from evor_eqx.widgets.explorer.view import View
from evor_eqx.zoo.catalogue import Listed, catalogue
from evor_eqx.zoo.exhibits import Exhibit

WIDTH, HEIGHT = 490, 350  # of a picture, in pixels of the page


def explore(agent: Agent, task: Task, state: int = 0) -> "Explorer":
    """Open the explorer on an agent.

    **Arguments:**

    - `agent`: the agent. It must know its data: one that was trained here, or a saved one (`fit`, `load_agent`).
    - `task`: the agent's task.
    - `state`: the held-out state to begin with, an index from 0.

    **Returns:**

    The widget, which a notebook displays as the value of a cell.

    **Raises:**

    UserError if the agent's data cannot be found, and for an agent that was not made for the task.
    """
    check_kinds(agent=(agent, Agent), task=(task, Task))
    exhibit = Exhibit.of(agent, task)
    num_states = len(exhibit.states.rows)
    if not 0 <= state < num_states:
        raise UserError(f"state: got {state}, expected 0 to {num_states - 1}, the held-out states of the data")
    return Explorer([Listed(task, exhibit.name, lambda: exhibit)], state)


class Explorer:
    """The explorer's widget; a notebook displays it as the value of a cell. `box` holds its parts.

    **Arguments:**

    - `listed`: the agents to choose from; by default all that `zoo.catalogue` finds. The first one is opened.
    - `state`: the held-out state to begin with, an index from 0.
    """

    def __init__(self, listed: Sequence[Listed] | None = None, state: int = 0):
        self.listed = list(catalogue() if listed is None else listed)
        self.canvases = [Canvas(WIDTH, HEIGHT, name) for name in ("candidates", "distributions", "values", "selection")]
        self.text, self.view, self._sentence = spoken(name="sentence"), None, ""
        self.controls = Controls(state)
        self._busy, self._acting, self._held_out = False, threading.RLock(), state  # the last one that was looked at
        offer(self.controls.environment, dict.fromkeys(each.task.group for each in self.listed))
        self._follow()
        self.box = self.controls.arrange(self.text, [canvas.image for canvas in self.canvases])
        self._choose_task()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box, for_the_page())

    @property
    def _agent(self) -> Agent:
        """The agent that is shown, with the sliders' settings."""
        return self.exhibit.agent.replace(inference=self.controls.inference)

    def _follow(self) -> None:
        controls = self.controls
        followed = {
            self._choose_task: [controls.environment],
            self._choose_critic: [controls.task],
            self._open: [controls.critic],
            self._choose_source: [controls.source, controls.seed],
            self._choose_plane: [controls.plane],
            self._see: [controls.state, controls.x, controls.y, controls.num_flow_steps],
            self._weigh: controls.sliders.values(),
        }
        for action, widgets in followed.items():
            for widget in widgets:
                widget.observe(self._alone(action), "value")
        controls.fresh.on_click(self._alone(self._roll_out))
        controls.reset.on_click(self._alone(self._reset))

    def _alone(self, action: Callable[[], None]) -> Callable[[Any], None]:
        """The action, as what a control calls: one at a time, because messages may come in several threads."""

        def act(_: Any) -> None:
            with self._acting:
                action()

        return act

    # From the environment to the picture: each step fills in what the next one chooses from.

    def _choose_task(self) -> None:
        tasks = [each.task for each in self.listed if each.task.group == self.controls.environment.value]
        with self._quiet():
            offer(self.controls.task, dict.fromkeys((f"task {task.task_id}", task) for task in tasks))
        self._choose_critic()

    def _choose_critic(self) -> None:
        if self._busy:
            return
        with self._quiet():
            listed = [each for each in self.listed if each.task == self.controls.task.value]
            offer(self.controls.critic, [(each.label, each) for each in listed])
        self._open()

    def _open(self) -> None:
        if self._busy:
            return
        self.view = None
        with self._sentences(), self._quiet():
            if self.controls.critic.value is None:
                raise UserError("no trained agent here: run `evor train pointmaze-medium-navigate-task1`, then again")
            self.exhibit = self.controls.critic.value.open()
            if len(self.exhibit.states.rows) == 0:
                raise UserError(f"{self.exhibit.name} has no held-out states: expected some to look at; use other data")
            self.finder = StateFinder(self.exhibit)
            offer(self.controls.plane, [(plane.name, plane) for plane in self.finder.planes])
            self.controls.plane.layout.display = "" if len(self.finder.planes) > 1 else "none"
            self._draw()
            self._offer_states()
            self.controls.put(self.exhibit.agent.inference)
        self._see()

    def _draw(self) -> None:
        """Set up the pictures, with candidates in the chosen plane."""
        clear = [canvas.clear for canvas in self.canvases]
        self.view = View(self.finder, lambda: [each() for each in clear], self.controls.plane.value)

    def _choose_plane(self) -> None:
        if self._busy or self.view is None:
            return
        with self._sentences():
            self._draw()
            self._see()

    def _offer_states(self) -> None:
        layout, has_env = self.finder.layout, self.exhibit.task.has_env
        sources = {DATA: True, ROLLOUT: has_env, PLACE: self.finder.has_places}
        offer(self.controls.source, [source for source, is_there in sources.items() if is_there])
        self.controls.fresh.layout.display = "" if self.exhibit.states.physics else "none"
        if layout is not None:
            self.controls.fit_to(layout)
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
        self.controls.show_source()
        states = self.exhibit.states.rows
        if self.controls.source.value == ROLLOUT:
            say(self.text, "Running one episode with these settings …")
            self.recording = None
            self.recording = record(self._agent, self.exhibit.task, self.controls.seed.value, frames=False)
            states = self.recording.obs
        self.controls.state.value = 0  # a rollout begins with its first decision
        self.controls.state.max = len(states) - 1
        if self.controls.source.value == DATA:
            self.controls.state.value = min(self._held_out, len(states) - 1)

    def _see(self, fresh: np.ndarray | None = None) -> None:
        if self._busy or self.view is None:
            return
        if self.controls.source.value == DATA:
            self._held_out = self.controls.state.value
        with self._sentences():
            self.view.look_at(self._state(), self.controls.num_flow_steps.value, fresh)
            self._weigh()

    def _state(self) -> ShownState:
        index = self.controls.state.value
        if self.controls.source.value == PLACE:
            return self.finder.at_place(self.controls.x.value, self.controls.y.value)
        if self.controls.source.value == ROLLOUT:
            if self.recording is None:
                raise UserError("there is no rollout to look at: the last one failed; choose another seed")
            return self.finder.at_obs(self.recording.obs[index], f"decision {index} of the rollout")
        return self.finder.at_state(index)

    def _roll_out(self) -> None:
        if self.view is None:
            return
        with self._sentences():
            physics = self.view.state.physics
            if physics is None:
                raise UserError("no rollout from this state: its physics are not known; choose a held-out state")
            say(self.text, "Rolling out the base policy from here …")
            returns = returns_from(self._agent.base_policy_agent(), self.exhibit.task, physics)
            self._see(returns.values)
            say(self.text, f"{self._sentence} Fresh rollouts: {returns.values.mean():.1f} on average; {returns.text}.")

    def _weigh(self) -> None:
        if self._busy or self.view is None:
            return
        with self._sentences():
            self._sentence = self.view.weigh(self.controls.inference)
            say(self.text, self._sentence)
            for canvas, panel in zip(self.canvases, self.view.panels, strict=True):
                canvas.redraw(panel.moving) if panel.is_stale else canvas.refresh()
                panel.is_stale = False

    def _reset(self) -> None:
        if self.view is not None:
            with self._quiet():
                self.controls.put(self.exhibit.agent.inference)
            self._see()

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Let none of the controls act while several are set."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        """Say what goes wrong instead of raising it."""
        try:
            yield
        except (UserError, OSError) as error:
            say(self.text, f"{error}")
