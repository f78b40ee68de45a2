"""What the explorer's pictures mean, in a few plain sentences with few numbers.

`widgets/front/src/sentence.js` says the same on a page; a test compares both.
"""

import numpy as np

from evor_eqx.widgets.explorer.decision import changes, ranked
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
    parts += [_the_mean(data, best)] if data.num_candidates > 1 else []
    if picked != best:
        parts.append("This draw picks another one.")
    if not state.recorded.num:
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
    if not state.recorded.num:
        return text
    return f"{text}; {_beside(value, state.recorded.low, state.recorded.high)}"


def _beside(value: float, low: np.ndarray, high: np.ndarray) -> str:
    """The value beside the bounds of the returns that were recorded nearby."""
    least, most, spread = float(low.mean()), float(high.mean()), max(float(low.std()), 0.05)
    how = "more than" if value > most + spread else "less than" if value < least - spread else "about as much as"
    between = f"{least:.1f}" if f"{least:.1f}" == f"{most:.1f}" else f"{least:.1f} to {most:.1f}"
    return f"that is {how} was recorded nearby ({between} on average)"


def _the_mean(data: PanelData, best: int) -> str:
    """What the mean alone would have chosen, and where the preference changes."""
    by_mean = int(np.argmax(data.reading.lowest[: data.num_candidates]))
    text = "The mean prefers the same one"
    if by_mean != best:
        rank = 1 + ranked(data.reading, data.num_candidates).tolist().index(by_mean)
        text = f"The mean would have preferred another one, which is number {rank} by Q*"
    places = [_two_digits(tau) for tau in changes(data.reading, data.num_candidates, data.tau_r)]
    if not places:
        return f"{text}, at every τ_R."
    return f"{text}; the preference changes at τ_R = {' and '.join(places)}."


def _two_digits(number: float) -> str:
    return np.format_float_positional(float(f"{number:.1e}"), trim="-")
