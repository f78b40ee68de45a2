"""The explorer's pictures and its sentence without sliders, for print and for readers without a kernel."""

import numpy as np
from matplotlib.figure import Figure

from evor_eqx.agent.selection import candidate_weights
from evor_eqx.config import InferenceConfig
from evor_eqx.plotting import PageFigure
from evor_eqx.widgets.drawing import house_style
from evor_eqx.widgets.explorer import decision
from evor_eqx.widgets.explorer.decision import NUM_RETURNS
from evor_eqx.widgets.explorer.panels import (
    PanelData,
    draw_candidates,
    draw_distributions,
    draw_selection,
    draw_values,
)
from evor_eqx.widgets.explorer.sentence import sentence
from evor_eqx.widgets.explorer.states import ShownState, StateFinder


def explorer_figure(finder: StateFinder, state: ShownState, inference: InferenceConfig) -> tuple[Figure, str]:
    """The explorer's pictures on one figure.

    **Arguments:**

    - `finder`: the states of the agent to show.
    - `state`: one of them.
    - `inference`: where the sliders stand.

    **Returns:**

    The figure, and the sentence that says what it shows.

    **Raises:**

    UserError for an agent without a critic, and as `decision.read` does.
    """
    data = panel_data(finder, state, inference)
    plane = finder.planes[0]
    with house_style():
        figure = PageFigure(figsize=(10.5, 7.6), layout="constrained")
        candidates, distributions, values, selection = figure.subplots(2, 2).ravel()
        points = finder.points(plane, state.obs, np.asarray(data.look.chunks))
        draw_candidates(candidates, data, plane, finder.layout, *points)
        if (velocity := finder.velocity(state.obs)) is not None:
            candidates.plot(
                *np.stack([points[0], points[0] + velocity]).T, color="0.3", linewidth=3, scalex=False, scaley=False
            )
        draw_distributions(distributions, data, state.recorded, state.own)
        draw_values(values, data)
        draw_selection(selection, data)
    return figure, sentence(data, state, finder.exhibit.agent.selection is candidate_weights)


def panel_data(finder: StateFinder, state: ShownState, inference: InferenceConfig) -> PanelData:
    """The numbers that the pictures show."""
    agent = finder.exhibit.agent
    look = decision.look_at(agent, state, inference.num_flow_steps)
    reading = decision.read(look, agent.selection, inference)
    index = NUM_RETURNS.index(inference.num_returns)
    has_data = state.data_chunk is not None
    return PanelData(look, reading, inference.num_candidates, index, inference.tau_r, has_data)
