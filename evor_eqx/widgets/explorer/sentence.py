"""What the explorer's pictures mean, in a few plain sentences with few numbers."""

import numpy as np

from evor_eqx.widgets.explorer.panels import PanelData
from evor_eqx.widgets.explorer.states import ShownState

SURE, EVEN = 0.9, 1.5  # the best one's probability, and as a multiple of 1 / N_pi


def sentence(data: PanelData, state: ShownState, is_softmax: bool) -> str:
    """Say how sure the choice is and why, and what the preferred candidate promises.

    **Arguments:**

    - `data`: the candidates with their values and probabilities.
    - `state`: where they were drawn.
    - `is_softmax`: whether the agent selects by the softmax of Q*/tau_Q, so that tau_Q is a reason.
    """
    best, picked = data.roles["best"], int(data.reading.index)
    parts = [f"At {state.name}, {_choice(data, best, is_softmax)}.", f"{_promise(data, best, state)}."]
    if picked != best:
        parts.append("This draw picks another one.")
    if not len(state.recorded):
        parts.append("No return recorded nearby is known: the recordings end too soon.")
    return " ".join(parts)


def _choice(data: PanelData, best: int, is_softmax: bool) -> str:
    n, probability = data.num_candidates, float(data.reading.weights[best])
    if n == 1:
        return "there is one candidate, so the base policy decides"
    if probability >= SURE:
        why = ": it leads by much more than τ_Q" if is_softmax else ""
        return f"the choice is almost certain ({probability:.0%} for the best of {n} candidates){why}"
    if probability <= EVEN / n:
        why = ": their values differ by less than τ_Q" if is_softmax else ""
        return f"all {n} candidates are about equally likely, so the agent acts like the base policy{why}"
    why = ": others come within a few τ_Q of it" if is_softmax else ""
    return f"the best of {n} candidates is preferred, but not sure to be picked ({probability:.0%}){why}"


def _promise(data: PanelData, best: int, state: ShownState) -> str:
    """What Q* of the best candidate is, beside its own returns and those recorded nearby."""
    value, low, high = (float(a[best]) for a in (data.reading.value, data.reading.lowest, data.reading.highest))
    share = (value - low) / (high - low) if high - low > 1e-3 * max(1.0, abs(high)) else None
    if share is None:
        text = f"Its Q* is {value:.1f}, and so is every return that the critic expects of it"
    elif share > 2 / 3:
        text = f"Its Q* is {value:.1f}, near the best return that the critic thinks possible (small τ_R is optimistic)"
    elif share < 1 / 3:
        text = f"Its Q* is {value:.1f}, near the mean return that the critic expects (large τ_R)"
    else:
        text = f"Its Q* is {value:.1f}, between the mean and the best return that the critic expects"
    if not len(state.recorded):
        return text
    gap, spread = value - float(state.recorded.mean()), float(np.std(state.recorded))
    beside = "about as much as" if abs(gap) <= max(spread, 0.05) else "more than" if gap > 0 else "less than"
    return f"{text}; that is {beside} was recorded nearby ({state.recorded.mean():.1f} on average)"
