"""What the explorer's pictures mean, in a few plain sentences with few numbers.

`widgets/front/src/sentence.js` says the same on a page; a test compares both.
"""

from decimal import ROUND_HALF_UP, Context, Decimal

import numpy as np

from evor_eqx.widgets.explorer.decision import changes, ranked
from evor_eqx.widgets.explorer.panels import PanelData
from evor_eqx.widgets.explorer.states import ShownState

SURE, EVEN = 0.9, 0.8  # the best one's probability; the effective number as a share of N_pi


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
        parts.append(f"This draw picks number {_rank(data, picked)} by Q* instead.")
    if not state.recorded.num:
        parts.append("No return recorded nearby is known: the recordings end too soon.")
    return " ".join(parts)


def _choice(data: PanelData, best: int, is_softmax: bool) -> str:
    n, probability = data.num_candidates, float(data.reading.weights[best])
    if n == 1:
        return "there is one candidate, so the base policy decides"
    if probability >= SURE:
        why = ": it leads by much more than τ_Q" if is_softmax else ""
        return f"the choice is almost certain ({_percent(probability)} for the best of {n} candidates){why}"
    if float(data.reading.num_effective) >= EVEN * n:
        why = ": their values differ by less than τ_Q" if is_softmax else ""
        return f"all {n} candidates are about equally likely, so the agent acts like the base policy{why}"
    top = int(np.argmax(data.reading.weights[:n]))
    if top != best and not is_softmax:
        percent = _percent(float(data.reading.weights[top]))
        return f"the agent's rule prefers number {_rank(data, top)} of {n} by Q* ({percent})"
    why = ": others come within a few τ_Q of it" if is_softmax else ""
    chances = f"{_percent(probability)}, by chance {_percent(1 / n)}"
    return f"the best of {n} candidates is preferred, but not sure to be picked ({chances}){why}"


def _promise(data: PanelData, best: int, state: ShownState) -> str:
    """What Q* of the best candidate is, beside its own returns and those recorded nearby."""
    value, low, high = (float(a[best]) for a in (data.reading.value, data.reading.lowest, data.reading.highest))
    share = (value - low) / (high - low) if high - low > 1e-3 * max(1.0, abs(high)) else None
    if share is None:
        what = "and so is every return that the critic expects of it"
    elif share > 2 / 3:
        what = "near the best return that the critic thinks possible (τ_R is small beside the spread of its returns)"
    elif share < 1 / 3:
        what = "near the mean return that the critic expects (τ_R is large beside the spread of its returns)"
    else:
        what = "between the mean and the best return that the critic expects"
    whose = "Its" if data.num_candidates == 1 else "The best one's"
    text = f"{whose} Q* is {_fixed(value)}, {what}"
    if not state.recorded.num:
        return text
    return f"{text}; {_beside(value, state.recorded.low, state.recorded.high)}"


def _beside(value: float, low: np.ndarray, high: np.ndarray) -> str:
    """The value beside the average return that was recorded nearby; two standard errors apart is apart."""
    least, most = float(low.mean()), float(high.mean())
    spread = max(2 * float(low.std()) / np.sqrt(len(low)), 0.05)
    how = "more than" if value > most + spread else "less than" if value < least - spread else "about as much as"
    between = " to ".join(dict.fromkeys((_fixed(least), _fixed(most))))
    return f"that is {how} was recorded nearby ({between} on average)"


def _the_mean(data: PanelData, best: int) -> str:
    """What the mean alone would have chosen, and where the preference changes."""
    places = [_two_digits(tau) for tau in changes(data.reading, data.num_candidates, data.tau_r)]
    if not places:
        return "The mean and every other τ_R would choose the same one."
    by_mean = int(np.argmax(data.reading.lowest[: data.num_candidates]))
    which = "the same one" if by_mean == best else f"another one, number {_rank(data, by_mean)} by Q*"
    return f"The mean would choose {which}; the best one changes at τ_R = {' and '.join(places)}."


def _rank(data: PanelData, candidate: int) -> int:
    """The rank of a candidate by Q*, from 1."""
    return 1 + ranked(data.reading, data.num_candidates).tolist().index(candidate)


def _percent(share: float) -> str:
    return f"{_fixed(100 * share, 0)}%"


def _fixed(number: float, digits: int = 1) -> str:
    """Rounded as a page rounds, which takes a tie away from zero."""
    exact, unit = Decimal(float(number) + 0.0), Decimal(1).scaleb(-digits)
    return str(exact.quantize(unit, ROUND_HALF_UP, Context(prec=400)))


def _two_digits(number: float) -> str:
    return np.format_float_positional(float(f"{number:.1e}"), trim="-")
