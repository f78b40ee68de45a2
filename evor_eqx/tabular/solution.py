"""What is exact about a finite process: the law of its return, and its KL-regularised optimum.

Laws, by distributional dynamic programming (Bellemare, Dabney and Rowland 2023, "Distributional Reinforcement
Learning", chapter 5): with R(x) = sum_a pi_base(a | x) R(x, a),

    R(x, a) = sum_o p(o | x, a) law of (r_o + gamma m_o z'),  z' ~ R(x'_o),

is repeated on a fixed grid, where each backed-up atom is split between its two neighbours so that its mean is kept.

Optimum: max over policies of E[sum_t gamma^t r_t] - tau_r E[sum_t KL(pi_t || pi_base)].
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from jaxtyping import Float
from scipy.special import logsumexp

from evor_eqx.critics.base import ReturnScale
from evor_eqx.errors import UserError
from evor_eqx.tabular.processes import Process, horizon


@dataclass(frozen=True, eq=False)
class ExactLaws:
    """The return law at each (state, act) as weights on one grid, with W_1 to the true law at most `error`."""

    process: Process
    atoms: Float[np.ndarray, " atoms"]
    weights: Float[np.ndarray, "states acts atoms"]
    error: float  # in units of return

    def law(self, state: int, act: int) -> tuple[Float[np.ndarray, " some"], Float[np.ndarray, " some"]]:
        """Atoms and weights at one (state, act), without the atoms of weight zero."""
        weights = self.weights[state, act]
        return self.atoms[weights > 0], weights[weights > 0]

    def state_laws(self) -> Float[np.ndarray, "states atoms"]:
        """Weights of R(x), the mixture of a state's laws over the base policy."""
        return np.einsum("sa,saz->sz", self.process.base_policy, self.weights)

    def cdf(self, z: Float[np.ndarray, "*z"]) -> Float[np.ndarray, "states acts *z"]:
        """P(return <= z) at every (state, act)."""
        cumulative = np.cumsum(self.weights, axis=-1)
        below = np.concatenate([np.zeros_like(cumulative[..., :1]), cumulative], axis=-1)
        return below[..., np.searchsorted(self.atoms, z, side="right")]

    def soft_value(self, tau_r: float) -> Float[np.ndarray, "states acts"]:
        """tau_r log E exp(z / tau_r) of every law, in units of return; 0 < tau_r < inf, else UserError."""
        return _soft_value(self.atoms, self.weights, _temperature(tau_r))

    @cached_property
    def mean(self) -> Float[np.ndarray, "states acts"]:
        """Q of the base policy; the grid does not change it."""
        return self.weights @ self.atoms

    @cached_property
    def range(self) -> float:
        """Largest minus smallest atom with a weight above 1e-6 anywhere in the process: the unit for errors."""
        atoms = self.atoms[(self.weights > 1e-6).any(axis=(0, 1))]
        return float(atoms[-1] - atoms[0])


class SoftOptimum(NamedTuple):
    """The regularised optimum at its first step, in units of return."""

    value: Float[np.ndarray, " states"]
    q: Float[np.ndarray, "states acts"]
    policy: Float[np.ndarray, "states acts"]


def return_bounds(process: Process) -> tuple[float, float]:
    """Least and greatest r / (1 - gamma m) over the possible outcomes: no return lies outside, and backups stay inside.

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


def return_laws(process: Process, spacing: float | None = None) -> ExactLaws:
    """The exact return laws under the base policy, to an error in W_1 that is computed along with them.

    Let W be the laws of the states before the last backup, d(x) the W_1 between W(x) and what the backup makes of
    it, and mu(x, a) the mean distance by which the backup's projection moved atoms (at most spacing / 2). W_1 is
    convex and a backup contracts it by gamma m, so the error obeys

        e(x, a) <= mu(x, a) + E[gamma m (d(x') + e(x', a'))],

    that is, errors add up as rewards do: e is at most the expected return of mu + E[gamma m d]. `error` is the largest
    e. The start, a point at each mean, leaves d <= gamma^n (high - low) after n backups; n is such that this is below
    a hundredth of the spacing. By default the grid has 500 / (1 - gamma) steps between `return_bounds`, which bounds
    e by 0.00102 (high - low); what is computed is mostly less than half of that. Positions are rounded to 1e-9 of a
    step, so that atoms on the grid stay there; the bound leaves this out. Raises UserError unless spacing > 0.
    """
    low, high = return_bounds(process)
    spacing = (high - low) * (1 - process.gamma) / 500 or 1.0 if spacing is None else spacing
    if not spacing > 0:
        raise UserError(f"spacing: got {spacing}, expected a positive step between atoms; leave it out for a fine one")
    atoms = low + spacing * np.arange(max(2, np.ceil((high - low) / spacing - 1e-9) + 1))
    backups = [_Backup.of(process, atoms, *pair) for pair in _outcome_kinds(process)]
    means = _mix(process, expected_return(process, _mean_reward(process)))
    laws = _projection(atoms, means)[0].toarray()
    for _ in range(horizon(process.gamma, 0.01 * spacing / max(high - low, spacing))):
        laws = sum(backup.policy_share @ laws @ backup.project for backup in backups)
    shape = process.base_policy.shape
    weights = np.reshape(sum(backup.share @ laws @ backup.project for backup in backups), (*shape, len(atoms)))
    moved = np.reshape(sum(backup.share @ laws @ backup.moved for backup in backups), shape)
    change = spacing * np.abs(np.cumsum(_mix(process, weights) - laws, axis=-1)).sum(axis=-1)
    error = expected_return(process, moved + _onward(process) @ change).max()
    return ExactLaws(process, atoms, weights, float(error))


def return_scale(process: Process, laws: ExactLaws | None = None) -> ReturnScale:
    """Shift and scale from the exact law averaged over states (and acts by the base policy), range from its bounds.

    What `build.return_statistics` reads from data. `laws`: those of the process, if at hand.
    """
    laws = laws or return_laws(process)
    weights = laws.state_laws().mean(axis=0)
    mean = weights @ laws.atoms
    std = np.sqrt(weights @ (laws.atoms - mean) ** 2)
    return ReturnScale(*(jnp.asarray(v, jnp.float32) for v in (mean, max(std, 1e-3), *return_bounds(process))))


def soft_optimal(process: Process, tau_r: float) -> SoftOptimum:
    """max over policies of E[sum_t gamma^t r_t] - tau_r E[sum_t KL(pi_t || pi_base)], from every state.

    The KL is not discounted: Q* = tau_r log E exp(z / tau_r) is Gibbs' variational principle for the KL between laws
    of whole paths, which is the plain sum of the steps' KL. Seen from one step on, rewards count gamma times as much
    and the KL as before, so the temperature grows by 1 / gamma with each step:

        V(x; tau_r) = tau_r log sum_a pi_base(a | x) exp(Q(x, a; tau_r) / tau_r),
        Q(x, a; tau_r) = E[r + gamma m V(x'; tau_r / gamma)],    pi(a | x) = pi_base exp((Q - V) / tau_r).

    The recursion starts K steps ahead with the base policy's value, the limit of infinite temperature. All values
    lie between `return_bounds`, so this moves the result by at most gamma^K (high - low), here 1e-9 (high - low).

    Where transitions and rewards are certain given the act, Q equals the soft value of the return law at the same
    tau_r. Elsewhere the soft value also tilts the dynamics, as if chance could be chosen: see `optimism`.
    Raises UserError unless 0 < tau_r < inf, in units of return.
    """
    tau_r = _temperature(tau_r)
    reward, onward = _mean_reward(process), _onward(process)
    q = expected_return(process, reward)
    value = _mix(process, q)
    for step in reversed(range(horizon(process.gamma, 1e-9))):
        q = reward + onward @ value
        value = _soft_value(q, process.base_policy, tau_r / process.gamma**step)
    tilt = np.where(process.base_policy > 0, q - value[:, None], 0.0)
    policy = process.base_policy * np.exp(tilt / tau_r)
    return SoftOptimum(value, q, policy / policy.sum(axis=1, keepdims=True))


def optimism(process: Process, tau_r: float, laws: ExactLaws | None = None) -> Float[np.ndarray, "states acts"]:
    """Soft value of the exact law minus the optimal Q at the same tau_r, in units of return: what Q* overstates.

    Not negative (the law may tilt the policy and the dynamics, a policy only itself), and 0 where the process is
    deterministic. `laws`: those of the process, if at hand. Raises UserError unless 0 < tau_r < inf.
    """
    return (laws or return_laws(process)).soft_value(tau_r) - soft_optimal(process, tau_r).q


class _Backup(NamedTuple):
    """The part of the Bellman backup that belongs to one kind of outcome, a pair (reward, mask); sparse matrices."""

    share: scipy.sparse.csr_array  # [states * acts, states]: P(this kind of outcome, next state | state, act)
    policy_share: scipy.sparse.csr_array  # [states, states]: its mean over the acts of the base policy
    project: scipy.sparse.csr_array  # [atoms, atoms]: where r + gamma m z goes on the grid
    moved: Float[np.ndarray, " atoms"]  # the mean distance by which that moves it

    @classmethod
    def of(cls, process: Process, atoms: np.ndarray, reward: float, mask: float) -> "_Backup":
        share = _shares(process, process.prob * (process.reward == reward) * (process.mask == mask))
        rows, policy_rows = share.reshape(-1, len(share)), _mix(process, share)
        shares = scipy.sparse.csr_array(rows), scipy.sparse.csr_array(policy_rows)
        return cls(*shares, *_projection(atoms, reward + process.gamma * mask * atoms))


def _outcome_kinds(process: Process) -> np.ndarray:
    """The distinct pairs (reward, mask) among the possible outcomes; few, so few projections are needed."""
    possible = process.prob > 0
    return np.unique(np.stack([process.reward[possible], process.mask[possible]], axis=1), axis=0)


def _projection(atoms: np.ndarray, z: np.ndarray) -> tuple[scipy.sparse.csr_array, np.ndarray]:
    """Split each z between its two neighbours on the grid, keeping its mean; and the mean distance 2 f (1 - f) step."""
    step = atoms[1] - atoms[0]
    position = np.clip(np.round((z - atoms[0]) / step, 9), 0, len(atoms) - 1)
    lower = np.minimum(position.astype(int), len(atoms) - 2)
    upper_share = position - lower
    columns, shares = np.stack([lower, lower + 1], axis=1), np.stack([1 - upper_share, upper_share], axis=1)
    rows = np.arange(0, 2 * len(z) + 1, 2)
    matrix = scipy.sparse.csr_array((shares.ravel(), columns.ravel(), rows), shape=(len(z), len(atoms)))
    return matrix, 2 * step * upper_share * (1 - upper_share)


def _shares(process: Process, prob: np.ndarray) -> np.ndarray:
    """[states, acts, next states] from probabilities of outcomes."""
    return np.einsum("sao,saox->sax", prob, np.eye(len(prob))[process.next_state])


def _onward(process: Process) -> np.ndarray:
    """E[gamma m; next state] as [states, acts, next states]."""
    return process.gamma * _shares(process, process.prob * process.mask)


def _mean_reward(process: Process) -> np.ndarray:
    return np.sum(process.prob * process.reward, axis=-1)


def _mix(process: Process, values: np.ndarray) -> np.ndarray:
    """Mean of [states, acts, ...] over the acts of the base policy."""
    return np.einsum("sa,sa...->s...", process.base_policy, values)


def _soft_value(z: np.ndarray, weights: np.ndarray, tau_r: float) -> np.ndarray:
    """tau_r log sum_j w_j exp(z_j / tau_r) in float64 (`laws.soft_value` is the networks' float32)."""
    return tau_r * logsumexp(np.broadcast_to(z / tau_r, weights.shape), b=weights, axis=-1)


def _temperature(tau_r: float) -> float:
    if not 0 < tau_r < np.inf:
        raise UserError(f"tau_r: got {tau_r}, expected 0 < tau_r < inf; take the law's mean or largest atom instead")
    return float(tau_r)
