"""The Bellman backup of return distributions on a fixed grid, as sparse matrices.

Each backed-up atom is split between its two neighbours on the grid, so that its mean is kept.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Float

from evor_eqx.tabular.processes import Process


class Backup(NamedTuple):
    """The part of the Bellman backup that belongs to one kind of outcome, a pair (reward, mask); sparse matrices."""

    share: scipy.sparse.csr_array  # [states * acts, states]: P(this kind of outcome, next state | state, act)
    policy_share: scipy.sparse.csr_array  # [states, states]: its mean over the acts of the base policy
    project: scipy.sparse.csr_array  # [atoms, atoms]: where r + gamma m z goes on the grid
    moved: Float[np.ndarray, " atoms"]  # the mean distance by which that moves it

    @classmethod
    def of(cls, process: Process, atoms: np.ndarray, reward: float, mask: float) -> "Backup":
        share = next_state_shares(process, process.prob * (process.reward == reward) * (process.mask == mask))
        rows, policy_rows = share.reshape(-1, len(share)), over_acts(process, share)
        shares = scipy.sparse.csr_array(rows), scipy.sparse.csr_array(policy_rows)
        return cls(*shares, *project(atoms, reward + process.gamma * mask * atoms))


def outcome_kinds(process: Process) -> np.ndarray:
    """The distinct pairs (reward, mask) among the possible outcomes; few, so few projections are needed."""
    possible = process.prob > 0
    return np.unique(np.stack([process.reward[possible], process.mask[possible]], axis=1), axis=0)


def project(atoms: np.ndarray, z: np.ndarray) -> tuple[scipy.sparse.csr_array, np.ndarray]:
    """Split each z between its two neighbours on the grid, keeping its mean; and the mean distance 2 f (1 - f) step."""
    step = atoms[1] - atoms[0]
    position = np.clip(np.round((z - atoms[0]) / step, 9), 0, len(atoms) - 1)
    lower = np.minimum(position.astype(int), len(atoms) - 2)
    upper_share = position - lower
    columns, shares = np.stack([lower, lower + 1], axis=1), np.stack([1 - upper_share, upper_share], axis=1)
    rows = np.arange(0, 2 * len(z) + 1, 2)
    matrix = scipy.sparse.csr_array((shares.ravel(), columns.ravel(), rows), shape=(len(z), len(atoms)))
    return matrix, 2 * step * upper_share * (1 - upper_share)


def next_state_shares(process: Process, prob: np.ndarray) -> np.ndarray:
    """[states, acts, next states] from probabilities of outcomes."""
    return np.einsum("sao,saox->sax", prob, np.eye(len(prob))[process.next_state])


def over_acts(process: Process, values: np.ndarray) -> np.ndarray:
    """Mean of [states, acts, ...] over the acts of the base policy."""
    return np.einsum("sa,sa...->s...", process.base_policy, values)
