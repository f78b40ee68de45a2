"""Why more candidates can be worse: the value that a critic promises for the picked candidate, and what it delivers.

Among many candidates, the critic overestimates some, and these are the ones that are picked (the optimiser's curse,
Smith and Winkler 2006). Rollouts of the same candidates tell how much of the promise is delivered.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from evor_eqx.agent.selection import candidate_weights
from evor_eqx.errors import UserError


class Picked(NamedTuple):
    """What the critic promises and what rollouts deliver for the candidate picked among N, averaged over states.

    Both are in units of return, minus the state's mean over all candidates, which is what the base policy gets.
    """

    promised: float
    delivered: float


def picked(
    values: Float[np.ndarray, "states cand"],
    worth: Float[np.ndarray, "states cand"],
    num_candidates: int,
    tau_q: float = 0.0,
    *,
    num_subsets: int = 1000,
    seed: int = 0,
) -> Picked:
    """The value of the candidate that is picked by softmax(value / tau_q), averaged over subsets of the candidates.

    **Arguments:**

    - `values`: the critic's value of each candidate, in units of return.
    - `worth`: the return that rollouts delivered for each candidate.
    - `num_candidates`: N, the size of a subset; 1 to the number of candidates.
    - `tau_q`: selection temperature; 0 picks the best.
    - `num_subsets`: subsets that are drawn, each without replacement.
    - `seed`: the seed of these draws.

    **Returns:**

    What is promised and what is delivered, see `Picked`.

    **Raises:**

    UserError for `num_candidates` out of range.
    """
    at_hand = values.shape[1]
    if not 1 <= num_candidates <= at_hand:
        raise UserError(f"num_candidates is {num_candidates}: expected 1 to {at_hand}, the number of candidates")
    rng = np.random.default_rng(seed)
    subsets = rng.permuted(np.tile(np.arange(at_hand), (num_subsets, 1)), axis=1)[:, :num_candidates]
    value, gain = (centred[:, subsets] for centred in (_centred(values), _centred(worth)))
    weights = candidate_weights(value, tau_q)
    return Picked(float((weights * value).sum(-1).mean()), float((weights * gain).sum(-1).mean()))


def rank_correlation(
    values: Float[np.ndarray, "states cand"], worth: Float[np.ndarray, "states cand"]
) -> Float[np.ndarray, " states"]:
    """Spearman's correlation over the candidates of each state, between their values and what rollouts delivered.

    The arguments are those of `picked`. The correlation is 0 for a state where all values, or all returns, are equal.
    """
    from scipy.stats import rankdata

    ranks = [_centred(rankdata(array, axis=1)) for array in (values, worth)]
    norms = np.prod([np.linalg.norm(rank, axis=1) for rank in ranks], axis=0)
    return np.sum(ranks[0] * ranks[1], axis=1) / np.where(norms > 0, norms, 1.0)


def reliable_share(worth: Float[np.ndarray, "states cand rollouts"]) -> float:
    """The share of the variance between the candidates' mean returns that is not the noise of the rollouts, 0 to 1.

    Its square root bounds the correlation of the true values with these means (attenuation, Spearman 1904).
    """
    noise = worth.var(axis=2, ddof=1).mean() / worth.shape[2]
    between = worth.mean(axis=2).var(axis=1, ddof=1).mean()
    return float(np.clip(1 - noise / between, 0, 1)) if between > 0 else 0.0


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=1, keepdims=True)
