"""The explorer: choose an agent and a state, move tau_R, tau_Q and N_pi, and see what the agent would do and why.

The kernel draws candidates and their return distributions once for each state (`decision.look`). The page computes all
that follows from the settings, and all pictures (`widgets/front`). What goes wrong is a sentence in `message`.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import anywidget
import numpy as np
from traitlets import observe

from evor_eqx.agent.agent import Agent
from evor_eqx.data.censoring import interval_text
from evor_eqx.envs.tasks import OgbenchTask, Task
from evor_eqx.errors import UserError, check_kinds
from evor_eqx.evaluation.following import states_ahead
from evor_eqx.evaluation.monte_carlo import returns_from
from evor_eqx.evaluation.recording import Recording, record
from evor_eqx.widgets import front
from evor_eqx.widgets.explorer import arrays, decision
from evor_eqx.widgets.explorer.arrays import DATA, PLACE, ROLLOUT
from evor_eqx.widgets.explorer.states import ShownState, StateFinder, check_shown
from evor_eqx.widgets.explorer.traits import SETTINGS, ExplorerTraits, as_json, drawn
from evor_eqx.zoo.catalogue import Listed, catalogue
from evor_eqx.zoo.exhibits import Exhibit


def explore(agent: Agent, task: Task, state: int | None = None) -> "Explorer":
    """Open the explorer on an agent.

    **Arguments:**

    - `agent`: the agent. It must know its data: one that was trained here, or a saved one (`fit`, `load_agent`).
    - `task`: the agent's task.
    - `state`: the held-out state to begin with, an index from 0; `Exhibit.start` if not given.

    **Returns:**

    The widget, which a notebook displays as the value of a cell.

    **Raises:**

    UserError if the agent's data cannot be found, and for an agent that was not made for the task.
    """
    check_kinds(agent=(agent, Agent), task=(task, Task))
    exhibit = Exhibit.of(agent, task)
    num_states = len(exhibit.states.rows)
    if state is not None and state not in range(num_states):
        raise UserError(f"state: got {state!r}, expected 0 to {num_states - 1}, the held-out states of the data")
    return Explorer([Listed(task, exhibit.name, lambda: exhibit)], None if state is None else int(state))


class Explorer(ExplorerTraits, anywidget.AnyWidget):
    """The explorer's widget. Its traits can be read, set, linked and observed like those of any widget.

    **Arguments:**

    - `listed`: the agents to choose from; by default all that `zoo.catalogue` finds. The first one is opened.
    - `state`: the held-out state to begin with, an index from 0; `Exhibit.start` of each agent if not given.
    """

    _esm = front.SCRIPT
    _css = front.STYLE

    def __init__(self, listed: Sequence[Listed] | None = None, state: int | None = None):
        self.listed = list(catalogue() if listed is None else listed)
        self._acting, self._busy, self._count = threading.RLock(), True, 0
        self._begin, self._held_out, self.recording = state, 0, None
        self._seen: Any = None  # the state that is shown, and its Look
        super().__init__(
            state=state or 0,
            agents=[
                {"label": f"task {each.task.task_id}, {each.label}", "group": each.task.group} for each in self.listed
            ],
        )
        self._busy = False
        self.on_msg(self._answer)
        self._open()

    @property
    def _agent(self) -> Agent:
        return self.exhibit.agent.replace(inference=self.inference)

    # From the agent to the state: each step sets what the next one reads.

    @observe("agent")
    def _open(self, _: Any = None) -> None:
        with self._acted() as free:
            if not free:
                return
            with self.hold_sync():
                # Else the agent before would be shown under this one's name if anything below fails.
                self._seen, self.scene, self.view, self.track, self.weights = None, {}, {}, {}, {}
                self.exhibit = exhibit = self._opened()
                self.finder = StateFinder(exhibit)
                self._count += 1
                self.source, self.plane, self.last = DATA, 0, len(exhibit.states.rows) - 1
                begin = exhibit.start if self._begin is None else self._begin
                self.state, self._begin = min(begin, self.last), None
                settings = drawn(exhibit.agent.inference)
                for name, value in settings.items():
                    setattr(self, name, value)
                self.scene = arrays.scene(self.finder, f"{self._count}") | {"defaults": as_json(settings)}
                self._look()

    def _opened(self) -> Exhibit:
        if not self.listed:
            raise UserError("no trained agent here: run `evor train pointmaze-medium-navigate-task1`, then again")
        exhibit = self.listed[self.agent].open()
        check_shown(exhibit)
        return exhibit

    @observe("source", "seed")
    def _choose_source(self, change: Any) -> None:
        with self._acted() as free:
            if not free or self.scene == {}:
                return
            self.recording = None
            with self.hold_sync():
                if self.source == ROLLOUT:
                    self.state = self.last = 0
                    self.recording = record(self._agent, self.exhibit.task, self.seed, frames=False)
                    self.last = len(self.recording.obs) - 1
                else:
                    self.last = len(self.exhibit.states.rows) - 1
                    self.state = min(self._held_out, self.last) if self.source == DATA else self.state
                self._look()

    @observe("state", "place", "num_flow_steps")
    def _see(self, _: Any) -> None:
        with self._acted() as free:
            if free and self.scene != {}:
                self._look()

    @observe(*SETTINGS)
    def _weigh(self, _: Any) -> None:
        with self._acted() as free:
            if free and self._seen is not None:
                self._weigh_by_own_rule()

    def _look(self, **others: Any) -> None:
        """Draw what belongs to the state, and send it."""
        if self.source == DATA:
            self._held_out = self.state
        self._count += 1
        shown = self._state()
        look = decision.look_at(self.exhibit.agent, shown, self.num_flow_steps)
        seen = arrays.view(self.finder, shown, look, f"{self._count}", scene=self.scene["id"], **others)
        with self.hold_sync():
            self._seen, self.view = (shown, look), seen
            self._weigh_by_own_rule()

    def _state(self) -> ShownState:
        if self.source == PLACE:
            return self.finder.at_place(*self.place)
        if self.source == ROLLOUT:
            return self.finder.at_obs(self._recorded().obs[self.state], f"decision {self.state} of the rollout")
        return self.finder.at_state(self.state)

    def _recorded(self) -> Recording:
        """The rollout, of which `state` is a decision."""
        if self.recording is None:
            raise UserError("there is no rollout to look at: the last one failed; choose another seed")
        num = len(self.recording.obs)
        if not 0 <= self.state < num:
            raise UserError(f"state {self.state}: expected 0 to {num - 1}, the decisions of the rollout")
        return self.recording

    def _weigh_by_own_rule(self) -> None:
        self.message, self.weights = "", {}
        if not self.scene["is_softmax"]:
            weights = self._reading().weights[: self.num_candidates].tolist()
            self.weights = {"key": self.view["key"], "settings": self._settings(), "values": weights}

    def _reading(self) -> decision.Reading:
        return decision.read(self._seen[1], self.exhibit.agent.selection, self.inference)

    def _settings(self) -> dict[str, Any]:
        return as_json({name: getattr(self, name) for name in SETTINGS})

    # What the page asks for.

    def _answer(self, _: Any, content: dict[str, Any], __: Any) -> None:
        with self._acted() as free:
            if free and self._seen is not None:
                {"roll_out": self.roll_out, "follow": self.follow}[content["kind"]]()
        self.send({"kind": "answered"})

    def roll_out(self) -> None:
        """Add the returns of the base policy's rollouts from the state, as the button does."""
        if (physics := self._seen[0].physics) is None:
            raise UserError("no rollout from this state: its physics are not known; choose a held-out state")
        returns = returns_from(self._agent.base_policy_agent(), self.exhibit.task, physics)
        self._look(fresh=returns, note=f"Fresh rollouts: {interval_text(returns.mean())} on average; {returns.text}.")

    def follow(self) -> None:
        """Send the way that the agent would take from the state with these settings."""
        shown, key, settings = self._seen[0], self.view["key"], self._settings()
        if (self.track.get("key"), self.track.get("settings")) == (key, settings):
            return
        self.track = {}
        path = self._path(shown)
        planes = [plane.axes for plane in self.finder.planes if plane.axes is not None]
        if path is None or not planes:
            return
        ways = [arrays.as_bytes(path[:, list(axes)], "track") for axes in planes]
        self.track = {"key": key, "settings": settings, "planes": ways}

    def _path(self, shown: ShownState) -> np.ndarray | None:
        """Places along the way that would follow; None if that is not known."""
        if self.source == ROLLOUT:
            recording = self._recorded()
            return recording.path[recording.step[self.state] :]
        if shown.physics is None or not isinstance(self.exhibit.task, OgbenchTask):
            return None
        first = np.asarray(self._seen[1].chunks[self._reading().index])  # as it is shown
        return self.finder.place(states_ahead(self._agent, self.exhibit.task, shown.physics, first_chunk=first))

    @contextlib.contextmanager
    def _acted(self) -> Iterator[bool]:
        """One action at a time, because messages may come in several threads; what goes wrong becomes `message`.

        Yields False within another action: what that one sets causes no further one.
        """
        with self._acting:
            if self._busy:
                yield False
                return
            self._busy = True
            try:
                yield True
            except (UserError, OSError) as error:
                self.message = str(error)
            finally:
                self._busy = False
