"""Exact answers for a finite process: the distribution of its return, and its KL-regularised optimum.

Distributions, by distributional dynamic programming (Bellemare, Dabney and Rowland 2023, "Distributional Reinforcement
Learning", chapter 5): with R(x) = sum_a pi_base(a | x) R(x, a),

    R(x, a) = sum_o p(o | x, a) distribution of (r_o + gamma m_o z'),  z' ~ R(x'_o),

is repeated on a fixed grid, where each backed-up atom is split between its two neighbours so that its mean is kept.

Optimum: max over policies of E[sum_t gamma^t r_t] - tau_r E[sum_t KL(pi_t || pi_base)].
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

from evor_eqx.critics.base import ReturnScale
from evor_eqx.errors import UserError
from evor_eqx.tabular.grid import Backup, next_state_shares, outcome_kinds, over_acts, project
from evor_eqx.tabular.processes import Process, horizon


@dataclass(frozen=True, eq=False)
class ExactDistributions:
    """The return distribution at each (state, act) as weights on one grid.

    The W_1 to the true distribution is at most `error`.
    """

    process: Process
    atoms: Float[np.ndarray, " atoms"]
    weights: Float[np.ndarray, "states acts atoms"]
    error: float  # in units of return

    def distribution(self, state: int, act: int) -> tuple[Float[np.ndarray, " some"], Float[np.ndarray, " some"]]:
        """Atoms and weights at one (state, act), without the atoms of weight zero."""
        weights = self.weights[state, act]
        return self.atoms[weights > 0], weights[weights > 0]

    def state_distributions(self) -> Float[np.ndarray, "states atoms"]:
        """Weights of R(x), the mixture of a state's distributions over the base policy."""
        return np.einsum("sa,saz->sz", self.process.base_policy, self.weights)

    def cdf(self, z: Float[np.ndarray, "*z"]) -> Float[np.ndarray, "states acts *z"]:
        """P(return <= z) at every (state, act)."""
        cumulative = np.cumsum(self.weights, axis=-1)
        below = np.concatenate([np.zeros_like(cumulative[..., :1]), cumulative], axis=-1)
        return below[..., np.searchsorted(self.atoms, z, side="right")]

    def soft_value(self, tau_r: float) -> Float[np.ndarray, "states acts"]:
        """tau_r log E exp(z / tau_r) of every distribution, in units of return. UserError unless 0 < tau_r < inf."""
        return _soft_value(self.atoms, self.weights, _temperature(tau_r))

    @cached_property
    def mean(self) -> Float[np.ndarray, "states acts"]:
        """Q of the base policy. The grid does not change it."""
        return self.weights @ self.atoms

    @cached_property
    def deviation(self) -> Float[np.ndarray, "states acts"]:
        """The standard deviation of every distribution, in units of return."""
        return np.sqrt(np.einsum("saz,saz->sa", self.weights, (self.atoms - self.mean[..., None]) ** 2))

    @cached_property
    def range(self) -> float:
        """The unit of errors: the largest minus the smallest atom with a weight above 1e-6 anywhere in the process."""
        atoms = self.atoms[(self.weights > 1e-6).any(axis=(0, 1))]
        return float(atoms[-1] - atoms[0])


class SoftOptimum(NamedTuple):
    """The regularised optimum at its first step, in units of return."""

    value: Float[np.ndarray, " states"]
    q: Float[np.ndarray, "states acts"]
    policy: Float[np.ndarray, "states acts"]


def return_bounds(process: Process) -> tuple[float, float]:
    """The least and the greatest r / (1 - gamma m) over the possible outcomes; all returns and backups lie between.

    That is [r_min, r_max] / (1 - gamma), with rewards that end the task taken as they are.
    """
    bounds = (process.reward / (1 - process.gamma * process.mask))[process.prob > 0]
    return float(bounds.min()), float(bounds.max())


def expected_return(process: Process, reward: Float[np.ndarray, "states acts"]) -> Float[np.ndarray, "states acts"]:
    """E[sum_t gamma^t reward(x_t, a_t)] from each (state, act) under the base policy, by one linear solve."""
    onward = _onward(process)
    policy_onward = np.einsum("sa,sax->sx", process.base_policy, onward)
    policy_reward = np.sum(process.base_policy * reward, axis=1)
    return reward + onward @ np.linalg.solve(np.eye(len(reward)) - policy_onward, policy_reward)


def return_distributions(process: Process, spacing: float | None = None) -> ExactDistributions:
    """The exact return distributions under the base policy, with a bound on their error in W_1.

    **Arguments:**

    - `process`: the process.
    - `spacing`: the step between atoms, positive. By default the grid has 500 / (1 - gamma) steps between
      `return_bounds`. That bounds e (below) by 0.00102 (high - low); the computed e is mostly less than half of that.

    **Raises:**

    UserError unless the spacing is positive.

    Let W be the distributions of the states before the last backup, d(x) the W_1 between W(x) and what the backup makes
    of it, and mu(x, a) the mean distance by which the backup's projection moved atoms (at most spacing / 2). W_1 is
    convex and a backup contracts it by gamma m, so the error obeys

        e(x, a) <= mu(x, a) + E[gamma m (d(x') + e(x', a'))],

    that is, errors add up as rewards do: e is at most the expected return of mu + E[gamma m d]. `error` is the largest
    e. The start, a point at each mean, leaves d <= gamma^n (high - low) after n backups; n is such that this is below
    a hundredth of the spacing. Positions are rounded to 1e-9 of a step, so that atoms on the grid stay there; the bound
    leaves this out.
    """
    low, high = return_bounds(process)
    spacing = (high - low) * (1 - process.gamma) / 500 or 1.0 if spacing is None else spacing
    if not spacing > 0:
        raise UserError(f"spacing: got {spacing}, expected a positive step between atoms; leave it out for a fine one")
    atoms = low + spacing * np.arange(max(2, np.ceil((high - low) / spacing - 1e-9) + 1))
    backups = [Backup.of(process, atoms, *pair) for pair in outcome_kinds(process)]
    means = over_acts(process, expected_return(process, mean_reward(process)))
    distributions = project(atoms, means)[0].toarray()
    for _ in range(horizon(process.gamma, 0.01 * spacing / max(high - low, spacing))):
        distributions = sum(backup.policy_share @ distributions @ backup.project for backup in backups)
    shape = process.base_policy.shape
    weights = np.reshape(sum(backup.share @ distributions @ backup.project for backup in backups), (*shape, len(atoms)))
    moved = np.reshape(sum(backup.share @ distributions @ backup.moved for backup in backups), shape)
    change = spacing * np.abs(np.cumsum(over_acts(process, weights) - distributions, axis=-1)).sum(axis=-1)
    error = expected_return(process, moved + _onward(process) @ change).max()
    return ExactDistributions(process, atoms, weights, float(error))


def return_scale(process: Process, distributions: ExactDistributions | None = None) -> ReturnScale:
    """The scale of returns, as `training.statistics.return_statistics` reads it from data.

    Shift and scale are those of the exact distribution, averaged over states, and over acts by the base policy.

    **Arguments:**

    - `process`: the process.
    - `distributions`: its exact distributions; computed if not given.
    """
    distributions = distributions or return_distributions(process)
    weights = distributions.state_distributions().mean(axis=0)
    mean = weights @ distributions.atoms
    std = np.sqrt(weights @ (distributions.atoms - mean) ** 2)
    return ReturnScale(*(jnp.asarray(v, jnp.float32) for v in (mean, max(std, 1e-3), *return_bounds(process))))


def soft_optimal(process: Process, tau_r: float) -> SoftOptimum:
    """max over policies of E[sum_t gamma^t r_t] - tau_r E[sum_t KL(pi_t || pi_base)], from every state.

    The KL is not discounted: Q* = tau_r log E exp(z / tau_r) is Gibbs' variational principle with the KL between
    distributions of whole paths. That KL is the undiscounted sum of the KL of each step. With each step, rewards are
    multiplied by gamma and the KL is not, so the temperature is multiplied by 1 / gamma:

        V(x; tau_r) = tau_r log sum_a pi_base(a | x) exp(Q(x, a; tau_r) / tau_r),
        Q(x, a; tau_r) = E[r + gamma m V(x'; tau_r / gamma)],    pi(a | x) = pi_base exp((Q - V) / tau_r).

    The recursion starts K steps ahead with the base policy's value, which is the limit for infinite temperature. All
    values lie between `return_bounds`, so this changes the result by at most gamma^K (high - low), here 1e-9 (high -
    low).

    If transitions and rewards are deterministic, Q equals the soft value of the return distribution at the same tau_r.
    Otherwise the soft value also tilts the dynamics, as if the agent could choose random outcomes: see `optimism`.
    Raises UserError unless 0 < tau_r < inf, in units of return.
    """
    tau_r = _temperature(tau_r)
    reward, onward = mean_reward(process), _onward(process)
    q = expected_return(process, reward)
    value = over_acts(process, q)
    for step in reversed(range(horizon(process.gamma, 1e-9))):
        q = reward + onward @ value
        value = _soft_value(q, process.base_policy, tau_r / process.gamma**step)
    tilt = np.where(process.base_policy > 0, q - value[:, None], 0.0)
    policy = process.base_policy * np.exp(tilt / tau_r)
    return SoftOptimum(value, q, policy / policy.sum(axis=1, keepdims=True))


def optimism(
    process: Process, tau_r: float, distributions: ExactDistributions | None = None
) -> Float[np.ndarray, "states acts"]:
    """The soft value of the exact distribution minus the optimal Q at the same tau_r: the optimism of Q*.

    It is not negative: the soft value tilts the policy and the dynamics, but the optimum can only change the policy. It
    is 0 where the process is deterministic.

    **Arguments:**

    - `process`: the process.
    - `tau_r`: value temperature in (0, inf), in units of return.
    - `distributions`: the exact distributions of the process; computed if not given.

    **Raises:**

    UserError for another temperature.
    """
    return (distributions or return_distributions(process)).soft_value(tau_r) - soft_optimal(process, tau_r).q


def _onward(process: Process) -> np.ndarray:
    """E[gamma m; next state] as [states, acts, next states]."""
    return process.gamma * next_state_shares(process, process.prob * process.mask)


def mean_reward(process: Process) -> np.ndarray:
    return np.sum(process.prob * process.reward, axis=-1)


def _soft_value(z: np.ndarray, weights: np.ndarray, tau_r: float) -> np.ndarray:
    """tau_r log sum_j w_j exp(z_j / tau_r) in float64 (`distributions.soft_value` is the networks' float32)."""
    return tau_r * np.asarray(logsumexp(np.broadcast_to(z / tau_r, weights.shape), b=weights, axis=-1))


def _temperature(tau_r: float) -> float:
    if not 0 < tau_r < np.inf:
        raise UserError(
            f"tau_r: got {tau_r}, expected 0 < tau_r < inf; take the distribution's mean or largest atom instead"
        )
    return float(tau_r)
