"""An agent's four panels at a state, moved by inference settings, and the sentence that says what they show."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evor_eqx.agent.selection import candidate_weights, check_weights
from evor_eqx.config import InferenceConfig
from evor_eqx.errors import UserError
from evor_eqx.plotting import PageFigure
from evor_eqx.widgets.drawing import house_style
from evor_eqx.widgets.explorer import decision
from evor_eqx.widgets.explorer.decision import NUM_CANDIDATES, NUM_RETURNS
from evor_eqx.widgets.explorer.panels import CandidatesPanel, DistributionsPanel, PanelData, SelectionPanel, ValuePanel
from evor_eqx.widgets.explorer.planes import Plane
from evor_eqx.widgets.explorer.sentence import sentence
from evor_eqx.widgets.explorer.states import ShownState, StateFinder

KEY = jax.random.key(0)  # of the candidates: the same state shows the same ones


class View:
    """An agent's four panels, on four axes that `make_axes` makes, and the numbers that they show.

    `plane` says how candidates are drawn as points: one of `finder.planes`, the first if not given. Raises UserError
    for an agent without a critic.
    """

    def __init__(self, finder: StateFinder, make_axes: Callable[[], Sequence[Axes]], plane: Plane | None = None):
        agent = finder.exhibit.agent
        if agent.critic is None:
            raise UserError(
                f"{finder.exhibit.name} has no critic: expected an agent with one, because pictures show Q*"
            )
        self.agent, self.critic, self.finder = agent, agent.critic, finder
        self.plane = plane or finder.planes[0]
        with house_style():
            axes = make_axes()
            self.candidates = CandidatesPanel(axes[0], self.plane, finder.layout)
            self.distributions = DistributionsPanel(axes[1])
            self.values, self.selection = ValuePanel(axes[2]), SelectionPanel(axes[3])
        self.panels = (self.candidates, self.distributions, self.values, self.selection)

    def look_at(self, state: ShownState, num_flow_steps: int, fresh: np.ndarray | None = None) -> None:
        """Draw candidates and return distributions at a state; `weigh` must follow.

        **Arguments:**

        - `state`: where to look.
        - `num_flow_steps`: steps in flow time of both flows.
        - `fresh`: returns of Monte Carlo rollouts from the state, where there are any.
        """
        self.state, agent = state, self.agent
        chunk = jnp.zeros(agent.policy.chunk_size) if state.data_chunk is None else jnp.asarray(state.data_chunk)
        obs, steps = jnp.asarray(state.obs), jnp.asarray(num_flow_steps)
        self.look = decision.look(agent.policy, self.critic, obs, chunk, steps, key=KEY)
        self.candidates.show_state(*self.finder.points(self.plane, state.obs, np.asarray(self.look.chunks)))
        self.distributions.show_state(self.look, state.recorded, np.empty(0) if fresh is None else fresh)
        self.values.show_state(self.look)

    def weigh(self, inference: InferenceConfig) -> str:
        """Move the artists to what inference settings make of the state; returns the sentence that says it.

        Raises UserError for counts that were not drawn, and if the selection rule's weights are no probabilities.
        """
        n, selection = inference.num_candidates, self.agent.selection
        if n > NUM_CANDIDATES[-1] or inference.num_returns not in NUM_RETURNS:
            raise UserError(
                f"N_pi is {n} and N is {inference.num_returns}: expected at most {NUM_CANDIDATES[-1]} candidates and "
                f"one of {', '.join(map(str, NUM_RETURNS))} atoms, which are what the explorer draws"
            )
        index = NUM_RETURNS.index(inference.num_returns)
        numbers = (jnp.asarray(value) for value in (n, index, inference.tau_r, inference.tau_q))
        reading = jax.tree.map(np.asarray, decision.weigh(self.look, selection, *numbers))
        if selection is not candidate_weights:
            check_weights(reading.weights[:n])
        data = PanelData(self.look, reading, n, index, inference.tau_r, self.state.data_chunk is not None)
        for panel in self.panels:
            panel.show_reading(data)
        return sentence(data, self.state, selection is candidate_weights)


def explorer_figure(finder: StateFinder, state: ShownState, inference: InferenceConfig) -> tuple[Figure, str]:
    """The explorer's pictures on one figure, for print and for readers without a kernel.

    **Arguments:**

    - `finder`: the states of the agent to show.
    - `state`: one of them.
    - `inference`: where the sliders stand.

    **Returns:**

    The figure, and the sentence that says what it shows.

    **Raises:**

    UserError as `View` and `View.weigh` do.
    """
    figure = PageFigure(figsize=(10.5, 7.6), layout="constrained")
    view = View(finder, lambda: figure.subplots(2, 2).ravel())
    view.look_at(state, inference.num_flow_steps)
    return figure, view.weigh(inference)
