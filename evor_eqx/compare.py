"""Learned laws beside recorded returns: which returns are known, which rows are near a state, what a critic says.

Recorded returns of OGBench's data are those of controllers that follow plans, so they are not quite the returns of the
Markov policy pi_ref(a | x) that flow TD evaluates; n-step windows lie between the two.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evor_eqx.critics.abstract import AbstractCritic
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.shapes import ReturnLaw


def known_rows(dataset: OfflineDataset, gamma: float, tolerance: float = 0.01) -> Int[np.ndarray, " known"]:
    """Transitions so early in their episode that at most `tolerance` of the return's weight lies after the cut.

    Chosen by time alone. To keep also the late rows from which the task was solved before the cut would choose by the
    outcome, and make the recorded returns look better than they are.
    """
    remaining = dataset.last_row[dataset.transitions] - dataset.transitions
    return dataset.transitions[gamma**remaining <= tolerance]


def nearest_rows(
    dataset: OfflineDataset, obs: Float[np.ndarray, " obs"], rows: Int[np.ndarray, " rows"], num: int
) -> Int[np.ndarray, " num"]:
    """The `num` of `rows` whose standardised observations are nearest to `obs`, nearest first."""
    std = np.maximum(dataset.obs.std(axis=0), 1e-6)
    distance = np.linalg.norm((dataset.obs[rows] - obs) / std, axis=1)
    return rows[np.argsort(distance, kind="stable")[:num]]


@eqx.filter_jit
def laws(
    critic: AbstractCritic,
    obs: Float[Array, "batch obs"],
    chunks: Float[Array, "batch chunk"],
    num_returns: int,
    num_steps: Int[Array, ""] | int,
) -> ReturnLaw:
    """The critic's law at each (obs, chunk), as `num_returns` atoms."""
    return jax.vmap(lambda o, c: critic.law(o, c, num_returns, num_steps))(obs, chunks)


def laws_at_rows(
    critic: AbstractCritic,
    dataset: OfflineDataset,
    rows: Int[np.ndarray, " rows"],
    chunk_length: int = 1,
    num_returns: int = 64,
    num_steps: int = 10,
) -> ReturnLaw:
    """The critic's laws at rows of a dataset, for the chunks that were taken there; atoms are [rows, atoms]."""
    chunks = dataset.act[rows[:, None] + np.arange(chunk_length)].reshape(len(rows), -1)
    return laws(critic, jnp.asarray(dataset.obs[rows]), jnp.asarray(chunks), num_returns, jnp.asarray(num_steps))


def mixture(law: ReturnLaw) -> tuple[Float[np.ndarray, " atoms"], Float[np.ndarray, " atoms"]]:
    """Many laws as one, each with the same share: the law of a return at a row drawn at random."""
    atoms, weights = np.asarray(law.atoms), np.asarray(law.weights)
    return atoms.ravel(), weights.ravel() / len(weights)
