"""Why more candidates can be worse: what a critic promises of the candidate that is picked, and what it is worth.

The more candidates, the likelier the one is among them whose value is overestimated most (the optimiser's curse, Smith
and Winkler 2006). Values that rollouts delivered, for the same candidates, tell how much of the promise is left.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from evor_eqx.errors import UserError


class Picked(NamedTuple):
    """Of the candidate that is picked among N, the mean over states of what is promised and what is delivered.

    Both are in units of return and above the state's mean over all candidates, which is what the base policy gets.
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
    """What is picked by softmax(value / tau_q) among `num_candidates` drawn anew from the candidates at hand.

    `values` are a critic's, `worth` is what rollouts delivered; tau_q = 0 picks the best. Averaged over `num_subsets`
    draws without replacement, so it is a function of the seed. Raises UserError unless 1 <= N <= cand.
    """
    at_hand = values.shape[1]
    if not 1 <= num_candidates <= at_hand:
        raise UserError(f"num_candidates is {num_candidates}: expected 1 to {at_hand}, the candidates at hand")
    rng = np.random.default_rng(seed)
    subsets = rng.permuted(np.tile(np.arange(at_hand), (num_subsets, 1)), axis=1)[:, :num_candidates]
    value, gain = (centred[:, subsets] for centred in (_centred(values), _centred(worth)))
    gap = value - value.max(axis=-1, keepdims=True)
    weights = np.exp(gap / tau_q) if tau_q > 0 else (gap == 0).astype(float)
    weights /= weights.sum(axis=-1, keepdims=True)
    return Picked(float((weights * value).sum(-1).mean()), float((weights * gain).sum(-1).mean()))


def rank_correlation(
    values: Float[np.ndarray, "states cand"], worth: Float[np.ndarray, "states cand"]
) -> Float[np.ndarray, " states"]:
    """Spearman's correlation over the candidates of each state, in [-1, 1]; 0 where all are alike."""
    from scipy.stats import rankdata

    ranks = [_centred(rankdata(array, axis=1)) for array in (values, worth)]
    norms = np.prod([np.linalg.norm(rank, axis=1) for rank in ranks], axis=0)
    return np.sum(ranks[0] * ranks[1], axis=1) / np.where(norms > 0, norms, 1.0)


def reliable_share(worth: Float[np.ndarray, "states cand rollouts"]) -> float:
    """The share of the variance between candidates' mean returns that is not the noise of so few rollouts, 0 to 1.

    Its square root bounds the correlation that even the true values would have with these means (attenuation,
    Spearman 1904).
    """
    noise = worth.var(axis=2, ddof=1).mean() / worth.shape[2]
    between = worth.mean(axis=2).var(axis=1, ddof=1).mean()
    return float(np.clip(1 - noise / between, 0, 1)) if between > 0 else 0.0


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=1, keepdims=True)
