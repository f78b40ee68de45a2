"""An agent's four panels at a state, moved by a setting, and the sentence that says what they show."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evor_eqx.config import Setting
from evor_eqx.system import paths
from evor_eqx.widgets.explorer import decision
from evor_eqx.widgets.explorer.decision import NUM_RETURNS
from evor_eqx.widgets.explorer.panels import CandidatesPanel, LawsPanel, SelectionPanel, Shown, ValuePanel
from evor_eqx.widgets.explorer.states import Situation, Surroundings
from evor_eqx.zoo.packed import Agent

KEY = jax.random.key(0)  # of the candidates: the same state shows the same ones


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
        self.look = decision.look(agent.policy, agent.critic, obs, data_chunk, steps, key=KEY)
        self.situation = situation
        origin = self.surroundings.origin(situation.obs)
        ends = decision.displacement(agent.task, np.asarray(self.look.chunks), agent.dataset.act.shape[1])
        self.candidates.state(origin, origin + ends)
        self.laws.state(self.look, situation.recorded, np.empty(0) if fresh is None else fresh)
        self.values.state(self.look)

    def weigh(self, setting: Setting) -> str:
        """Move the artists to what a setting makes of the state; returns the sentence that says it."""
        n, index = setting.num_candidates, NUM_RETURNS.index(setting.num_returns)
        numbers = (jnp.asarray(value) for value in (n, index, setting.tau_r, setting.tau_q))
        reading = jax.tree.map(np.asarray, decision.weigh(self.look, *numbers))
        shown = Shown(self.look, reading, n, index, setting.tau_r, self.situation.data_chunk is not None)
        for panel in self.panels:
            panel.reading(shown)
        return _sentence(shown, setting, self.situation)


def explorer_figure(agent: Agent, situation: Situation, setting: Setting, surroundings: Surroundings) -> tuple:
    """The explorer's pictures on one figure, and its sentence: the static twin."""
    figure = Figure(figsize=(10.5, 7.6), layout="constrained")
    view = View(agent, surroundings, lambda: figure.subplots(2, 2).ravel())
    view.see(situation, agent.num_flow_steps)
    return figure, view.weigh(setting)


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
