"""Exact answers where a policy chooses among draws of the base policy: its acts, its returns, and what they cost.

A decision draws N acts from the base policy and takes one by softmax(Q*/tau_Q), with Q* the soft value at tau_R. Inside
a backup the same rule makes a critic evaluate the policy that decides so at every step. Its return distribution R is a
fixed point: R gives the values, the values give the policy, and the policy gives R.
"""

import math
from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln, logsumexp, xlogy

from evor_eqx.config import CriticConfig
from evor_eqx.critics.next_draw import draw_choice
from evor_eqx.errors import UserError
from evor_eqx.tabular.processes import Process
from evor_eqx.tabular.solution import ExactDistributions, expected_return, mean_reward, return_distributions

_MOST_ROUNDS, _TOLERANCE = 500, 1e-7


def learned_distributions(process: Process, config: CriticConfig) -> ExactDistributions:
    """The return distributions that a critic learns: the base policy's or, if its backups choose, a better policy's.

    Raises UserError as `check_known_exactly` and `improved_distributions` do, and if backups choose every n steps only.
    """
    check_known_exactly(config)
    choose = draw_choice(config)
    if choose is None:
        return return_distributions(process)
    if config.n_step > 1:
        raise UserError(
            f"n_step is {config.n_step} with next_draw {config.next_draw!r}: expected 1, because the exact answer is "
            "that of a policy that chooses at every step; set n_step=1"
        )
    return improved_distributions(process, config.num_bank_draws, choose.tau_r, choose.tau_q)


def check_known_exactly(config: CriticConfig) -> None:
    """Raise UserError for a critic that improves on the base policy in a way of its own."""
    if config.is_improver:
        raise UserError(
            f"the critic {config.kind}: expected one that learns the return distribution of the base policy or, by "
            "next_draw, of the best of its draws, because only these are known exactly"
        )


def decision_policy(
    process: Process, values: Float[np.ndarray, "states acts"], num_draws: int, tau_q: float
) -> Float[np.ndarray, "states acts"]:
    """The probability of each act if the softmax of values / tau_q chooses among N draws of the base policy.

    All sets of N draws are enumerated, so the probabilities are exact.

    **Arguments:**

    - `process`: gives the base policy.
    - `values`: the value of each act, in units of return.
    - `num_draws`: N, at least 1.
    - `tau_q`: selection temperature, at least 0; 0 takes the best draw.
    """
    num_acts = values.shape[1]
    sets = np.array(list(combinations_with_replacement(range(num_acts), num_draws)))
    counts = np.stack([(sets == act).sum(axis=1) for act in range(num_acts)], axis=1)  # [sets, acts]
    orders = gammaln(num_draws + 1) - gammaln(counts + 1).sum(axis=1)
    policy = np.zeros_like(values)
    for state, base in enumerate(process.base_policy):
        prob = np.exp(orders + xlogy(counts, base).sum(axis=1))
        logits = np.where(counts > 0, np.log(np.maximum(counts, 1)) + _logits(values[state], tau_q, counts), -np.inf)
        policy[state] = prob @ np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    return policy / policy.sum(axis=1, keepdims=True)


def improved_distributions(
    process: Process, num_draws: int, tau_r: float, tau_q: float, spacing: float | None = None
) -> ExactDistributions:
    """The return distributions that a critic learns if its backups choose among N draws by EVOR's rule.

    Policy and distributions are computed in turn until the policy stays the same.

    **Arguments:**

    - `process`: the process; its base policy gives the draws.
    - `num_draws`: N, at least 1.
    - `tau_r`: value temperature in (0, inf], in units of return; infinity compares means.
    - `tau_q`: selection temperature, at least 0.
    - `spacing`: the step between atoms, as in `return_distributions`; a coarse one is faster.

    **Returns:**

    The distributions; `process.base_policy` of what is returned is the improved policy.

    **Raises:**

    UserError if the policy does not come to rest.
    """
    found = return_distributions(process, spacing)
    for _ in range(_MOST_ROUNDS):
        values = found.mean if math.isinf(tau_r) else found.soft_value(tau_r)
        policy = decision_policy(process, values, num_draws, tau_q)
        change = np.abs(policy - found.process.base_policy).max()
        if change < _TOLERANCE:
            return found
        found = return_distributions(replace(process, base_policy=policy), spacing)
    raise UserError(
        f"policy of {process.name}: still changes by {change:.1g} after {_MOST_ROUNDS} rounds, expected it to come to "
        f"rest; raise tau_q, which is {tau_q}"
    )


def performance(process: Process, policy: Float[np.ndarray, "states acts"]) -> Float[np.ndarray, " states"]:
    """The expected discounted return of a policy from each state."""
    acting = replace(process, base_policy=policy)
    return np.sum(policy * expected_return(acting, mean_reward(acting)), axis=1)


def divergence(process: Process, policy: Float[np.ndarray, "states acts"]) -> Float[np.ndarray, " states"]:
    """E[sum_t KL(policy || base policy)] from each state until the task ends, not discounted, as in `soft_optimal`.

    The process must end with probability one under the policy.
    """
    each = np.sum(xlogy(policy, policy) - xlogy(policy, process.base_policy), axis=1)
    undiscounted = replace(process, base_policy=policy, gamma=1 - 1e-12)  # a process needs gamma < 1
    return np.sum(policy * expected_return(undiscounted, np.repeat(each[:, None], policy.shape[1], axis=1)), axis=1)


def _logits(values: np.ndarray, tau_q: float, counts: np.ndarray) -> np.ndarray:
    """values / tau_q for each set of draws; for 0, only the best act of a set counts."""
    if tau_q > 0:
        return np.broadcast_to(values / tau_q, counts.shape)
    best = np.where(counts > 0, values, -np.inf).max(axis=1, keepdims=True)
    return np.where(values >= best, 0.0, -np.inf)
