"""The explorer as one HTML file: some held-out states with all that the page computes from."""

from typing import Any

import numpy as np

from evor_eqx.errors import UserError, check_kinds
from evor_eqx.system.progress import bar
from evor_eqx.widgets.explorer import arrays
from evor_eqx.widgets.explorer.arrays import DATA
from evor_eqx.widgets.explorer.explorer import Explorer
from evor_eqx.widgets.explorer.traits import as_json
from evor_eqx.widgets.front.page import page
from evor_eqx.zoo.catalogue import Listed
from evor_eqx.zoo.exhibits import Exhibit

_KEPT = ("num_candidates", "num_returns", "num_flow_steps", "agent", "source", "place", "seed", "plane")

_INTRO = (
    "An agent learned from recordings alone. At a state, it draws N_π candidate actions that are like the recorded "
    "ones, and expects a distribution of returns after each. Q* is the value of a candidate: for a small τ_R its "
    "best returns count, for a large one their mean. One candidate is picked, with probabilities by Q*/τ_Q. Move "
    "the sliders, point at candidates, and see who is picked and why."
)


def explorer_page(exhibit: Exhibit, num_states: int = 24) -> str:
    """An agent's explorer as a page that needs neither a kernel nor a network.

    Other flow steps, places and fresh rollouts need a kernel, so the page does not offer them. The track is the one by
    the agent's own settings.

    **Arguments:**

    - `exhibit`: the agent and its held-out states.
    - `num_states`: how many of them the page holds, evenly spread; it begins with `Exhibit.start`, one of them.

    **Returns:**

    The HTML.

    **Raises:**

    UserError if the explorer cannot show the agent, and for an agent that selects by a rule of one's own: the page
    knows EVOR's alone.
    """
    check_kinds(exhibit=(exhibit, Exhibit))
    if num_states not in range(1, 10**6):
        raise UserError(f"states: got {num_states!r}, expected a whole number of at least 1")
    explorer = Explorer([Listed(exhibit.task, exhibit.name, lambda: exhibit)])
    if explorer.message:
        raise UserError(explorer.message)
    if not explorer.scene["is_softmax"]:
        raise UserError(
            f"{exhibit.name} selects by a rule of your own: expected softmax(Q*/tau_Q), which is what a page computes; "
            "look at it in JupyterLab"
        )
    chosen = np.unique(np.linspace(0, explorer.last, num_states).round().astype(int))
    start = int(np.argmin(np.abs(chosen - exhibit.start)))
    chosen[start] = exhibit.start
    states = []
    with bar(len(chosen), "states", "state") as progress:
        for index in chosen:
            explorer.state = int(index)
            if explorer.message:
                raise UserError(explorer.message)
            explorer.follow()
            states.append({"view": explorer.view, "track": explorer.track})
            progress.update(1)
    scene: dict[str, Any] = {**explorer.scene, "sources": [DATA]}
    places = np.frombuffer(scene["states"]["places"] or b"", np.float32).reshape(-1, 2)
    kept = arrays.as_bytes(places[chosen], "places of the data") if len(places) else None
    scene["states"] = {"count": len(chosen), "places": kept}
    traits = {name: getattr(explorer, name) for name in _KEPT}
    traits |= as_json({"tau_r": explorer.tau_r, "tau_q": explorer.tau_q})
    traits |= {"scene": scene, "state": start, "last": len(states) - 1, "message": "", "weights": {}, "agents": []}
    return page("explorer", f"EVOR explorer: {exhibit.task.name}", _INTRO, {"traits": traits, "states": states})
