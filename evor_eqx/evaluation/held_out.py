"""Learned laws beside recorded returns: which returns are known, which rows are near a state, what a critic says.

Recorded returns of OGBench's data are those of controllers that follow plans, so they are not quite the returns of the
Markov policy pi_ref(a | x) that flow TD evaluates; n-step windows lie between the two.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evor_eqx.critics.base import AbstractCritic
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.distributions import ReturnLaw, crps, mean, mid_quantiles


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
    std = np.maximum(dataset.obs.std(axis=0, dtype=np.float64), 1e-6)
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
    chunks = dataset.chunks(rows, chunk_length)
    return laws(critic, jnp.asarray(dataset.obs[rows]), jnp.asarray(chunks), num_returns, jnp.asarray(num_steps))


def mixture(law: ReturnLaw) -> tuple[Float[np.ndarray, " atoms"], Float[np.ndarray, " atoms"]]:
    """Many laws as one, each with the same share: the law of a return at a row drawn at random."""
    atoms, weights = np.asarray(law.atoms), np.asarray(law.weights)
    return atoms.ravel(), weights.ravel() / len(weights)


@dataclass(frozen=True)
class Probes:
    """Three held-out states to look at while a critic trains: early, in the middle and late in one episode."""

    obs: Float[np.ndarray, "probes obs"]
    chunks: Float[np.ndarray, "probes chunk"]
    recorded: list[np.ndarray]  # for each, the known returns at the rows nearest to it, its own first; may be none
    limits: tuple[float, float]  # lowest and highest return among the rows that the probes were chosen from

    @classmethod
    def of(
        cls, dataset: OfflineDataset, gamma: float, chunk_length: int = 1, num_nearby: int = 32, tolerance: float = 0.05
    ) -> "Probes":
        """The first, middle and last row with a known return in the middle one of the episodes that have any.

        Where no return is known (episodes shorter than the discount's horizon), any row may be a probe, and nothing
        is `recorded`.
        """
        known = _with_chunk(dataset, known_rows(dataset, gamma, tolerance), chunk_length)
        rows = known if len(known) else _with_chunk(dataset, dataset.transitions, chunk_length)
        ends = np.unique(dataset.last_row[rows])
        episode = rows[dataset.last_row[rows] == ends[len(ends) // 2]]
        probes, returns = episode[[0, len(episode) // 2, -1]], dataset.mc_returns(gamma)[0]
        nearby = [nearest_rows(dataset, dataset.obs[row], known, num_nearby) for row in probes]
        limits = float(returns[rows].min()), float(returns[rows].max())
        arrays = dataset.obs[probes], dataset.chunks(probes, chunk_length)
        return cls(*arrays, [returns[rows] for rows in nearby], limits)

    def laws(self, critic: AbstractCritic, num_returns: int = 64, num_steps: int = 10) -> ReturnLaw:
        """The critic's laws at the probes, for the chunks that were taken there; atoms are [probes, atoms]."""
        return laws(critic, jnp.asarray(self.obs), jnp.asarray(self.chunks), num_returns, jnp.asarray(num_steps))


class HeldOut(eqx.Module):
    """Held-out rows with known returns, ready to judge a critic on the device while it trains."""

    obs: Float[Array, "rows obs"]
    chunks: Float[Array, "rows chunk"]
    returns: Float[Array, " rows"]

    @classmethod
    def of(
        cls, dataset: OfflineDataset, gamma: float, chunk_length: int = 1, num_rows: int = 512, tolerance: float = 0.05
    ) -> "HeldOut":
        """At most `num_rows` rows of a dataset, evenly spread over those whose return is known to the tolerance."""
        rows = _with_chunk(dataset, known_rows(dataset, gamma, tolerance), chunk_length)
        rows = rows[:: max(1, -(-len(rows) // num_rows))]
        arrays = (dataset.obs[rows], dataset.chunks(rows, chunk_length), dataset.mc_returns(gamma)[0][rows])
        return cls(*(jnp.asarray(array, jnp.float32) for array in arrays))

    @eqx.filter_jit
    def __call__(
        self, critic: AbstractCritic, num_returns: int = 32, num_steps: int | Int[Array, ""] = 10
    ) -> dict[str, Float[Array, ""]]:
        """In units of return: `held_out_w1` of the pooled laws, `held_out_crps`, `held_out_error` of the mean (signed);
        and `held_out_coverage`, the share of returns inside the central 90 % of their law. Empty without rows.

        CRPS, E|z - y| - E|z - z'| / 2 for a return y and draws z, z' of its law, judges every law by its own return
        (Gneiting and Raftery 2007); the pooled W_1 only sees whether the laws are right on average.
        """
        if len(self.returns) == 0:
            return {}
        law = laws(critic, self.obs, self.chunks, num_returns, num_steps)
        pooled = ReturnLaw(law.atoms.ravel(), law.weights.ravel() / len(self.returns))
        level = jnp.sum(law.weights * (law.atoms < self.returns[:, None]), axis=1)
        level += 0.5 * jnp.sum(law.weights * (law.atoms == self.returns[:, None]), axis=1)
        return {
            "held_out_w1": jnp.mean(jnp.abs(mid_quantiles(pooled, len(self.returns)) - jnp.sort(self.returns))),
            "held_out_crps": jnp.mean(jax.vmap(crps)(law, self.returns)),
            "held_out_error": jnp.mean(mean(law) - self.returns),
            "held_out_coverage": jnp.mean(jnp.abs(level - 0.5) <= 0.45),
        }


def _with_chunk(
    dataset: OfflineDataset, rows: Int[np.ndarray, " rows"], chunk_length: int
) -> Int[np.ndarray, " fitting"]:
    """Those of the rows from which a whole chunk lies inside the episode."""
    return rows[rows + chunk_length <= dataset.last_row[rows]]
