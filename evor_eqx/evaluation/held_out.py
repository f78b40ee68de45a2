"""Held-out evaluation: return distributions of a critic beside the recorded returns of validation episodes.

The recorded returns of OGBench's data are those of controllers that follow plans. They differ a little from the returns
of the Markov policy pi_ref(a | x) that flow TD evaluates; n-step windows lie between the two.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evor_eqx.critics.base import AbstractCritic
from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.returns import known_rows, recorded_returns
from evor_eqx.distributions import ReturnDistribution, crps, mean, pit, quantile_distances
from evor_eqx.envs.return_bounds import ReturnBounds
from evor_eqx.evaluation.scores import Bounds, score_bounds


def nearest_rows(
    dataset: OfflineDataset, obs: Float[np.ndarray, " obs"], rows: Int[np.ndarray, " rows"], num: int
) -> Int[np.ndarray, " num"]:
    """The rows whose standardised observations are nearest to a given one, nearest first.

    **Arguments:**

    - `dataset`: the dataset.
    - `obs`: the observation.
    - `rows`: the rows to choose from.
    - `num`: how many.
    """
    std = np.maximum(dataset.obs.std(axis=0, dtype=np.float64), 1e-6)
    distance = np.linalg.norm((dataset.obs[rows] - obs) / std, axis=1)
    return rows[np.argsort(distance, kind="stable")[:num]]


@eqx.filter_jit
def distributions(
    critic: AbstractCritic,
    obs: Float[Array, "batch obs"],
    chunks: Float[Array, "batch chunk"],
    num_returns: int,
    num_steps: Int[Array, ""] | int,
) -> ReturnDistribution:
    """The critic's return distribution at each (obs, chunk), with `num_returns` atoms; atoms are [batch, atoms]."""
    return jax.vmap(lambda o, c: critic.distribution(o, c, num_returns, num_steps))(obs, chunks)


def distributions_at_rows(
    critic: AbstractCritic,
    dataset: OfflineDataset,
    rows: Int[np.ndarray, " rows"],
    chunk_length: int = 1,
    num_returns: int = 64,
    num_steps: int = 10,
) -> ReturnDistribution:
    """The critic's return distributions at rows of a dataset, for the chunks that were taken there.

    **Arguments:**

    - `critic`: the critic.
    - `dataset`, `rows`: where; a whole chunk must lie in the episode from each row on.
    - `chunk_length`: h, the actions in a chunk.
    - `num_returns`, `num_steps`: atoms and steps in flow time.

    **Returns:**

    Distributions with atoms and weights [rows, atoms].
    """
    chunks = dataset.chunks(rows, chunk_length)
    return distributions(
        critic, jnp.asarray(dataset.obs[rows]), jnp.asarray(chunks), num_returns, jnp.asarray(num_steps)
    )


def mixture(distribution: ReturnDistribution) -> tuple[Float[np.ndarray, " atoms"], Float[np.ndarray, " atoms"]]:
    """Several distributions as one, each with the same share: that of a return at a row drawn at random."""
    atoms, weights = np.asarray(distribution.atoms), np.asarray(distribution.weights)
    return atoms.ravel(), weights.ravel() / len(weights)


@dataclass(frozen=True)
class Probes:
    """Three held-out states to look at while a critic trains: one early, one midway and one late in an episode."""

    obs: Float[np.ndarray, "probes obs"]
    chunks: Float[np.ndarray, "probes chunk"]
    recorded: list[CensoredReturns]  # for each, the known returns at the rows nearest to it, its own first; may be none
    limits: tuple[float, float]  # lowest and highest recorded return of the rows that the probes were chosen from

    @classmethod
    def of(
        cls,
        dataset: OfflineDataset,
        gamma: float,
        chunk_length: int = 1,
        num_nearby: int = 32,
        bounds: ReturnBounds | None = None,
    ) -> "Probes":
        """The first, middle and last row with a known return, of the middle one of the episodes that have any.

        If no return is known (episodes shorter than the discount's horizon), any row may be a probe, and nothing is
        `recorded`.

        **Arguments:**

        - `dataset`: held-out data of the task.
        - `gamma`: the discount per step.
        - `chunk_length`: h, the actions in a chunk.
        - `num_nearby`: rows near each probe whose returns are `recorded`.
        - `bounds`: as in `recorded_returns`.
        """
        known = dataset.with_chunk(known_rows(dataset, gamma), chunk_length)
        rows = known if len(known) else dataset.with_chunk(dataset.transitions, chunk_length)
        ends = np.unique(dataset.last_row[rows])
        episode = rows[dataset.last_row[rows] == ends[len(ends) // 2]]
        probes, returns = episode[[0, len(episode) // 2, -1]], recorded_returns(dataset, gamma, bounds)
        nearby = [nearest_rows(dataset, dataset.obs[row], known, num_nearby) for row in probes]
        limits = float(returns.recorded[rows].min()), float(returns.recorded[rows].max())
        arrays = dataset.obs[probes], dataset.chunks(probes, chunk_length)
        return cls(*arrays, [returns.at(rows) for rows in nearby], limits)

    def distributions(self, critic: AbstractCritic, num_returns: int = 64, num_steps: int = 10) -> ReturnDistribution:
        """The critic's return distributions at the probes, for the chunks taken there; atoms are [probes, atoms]."""
        return distributions(
            critic, jnp.asarray(self.obs), jnp.asarray(self.chunks), num_returns, jnp.asarray(num_steps)
        )


class HeldOut(eqx.Module):
    """Held-out rows with known returns, on the device, to compare a critic with.

    What followed a recording that was cut off weighs at most `KNOWN_WEIGHT` in these returns, but nobody knows it. So
    each of them lies in [`low`, `high`], see `evor_eqx.data.censoring`.
    """

    obs: Float[Array, "rows obs"]
    chunks: Float[Array, "rows chunk"]
    returns: Float[Array, " rows"]  # what was recorded
    low: Float[Array, " rows"]
    high: Float[Array, " rows"]

    @classmethod
    def of(
        cls,
        dataset: OfflineDataset,
        gamma: float,
        chunk_length: int = 1,
        num_rows: int = 512,
        bounds: ReturnBounds | None = None,
    ) -> "HeldOut":
        """Rows of a dataset, evenly spread over those with a known return; there may be none.

        **Arguments:**

        - `dataset`: held-out data of the task.
        - `gamma`: the discount per step.
        - `chunk_length`: h, the actions in a chunk.
        - `num_rows`: the largest number of rows.
        - `bounds`: as in `recorded_returns`.
        """
        rows = dataset.with_chunk(known_rows(dataset, gamma), chunk_length)
        rows = rows[:: max(1, -(-len(rows) // num_rows))]
        returns = recorded_returns(dataset, gamma, bounds).at(rows)
        arrays = dataset.obs[rows], dataset.chunks(rows, chunk_length), returns.recorded, returns.low, returns.high
        return cls(*(jnp.asarray(array, jnp.float32) for array in arrays))

    @property
    def num_cut(self) -> int:
        """How many of the returns were cut off so early that it shows in float32."""
        return int(jnp.sum(self.low < self.high))

    @eqx.filter_jit
    def __call__(
        self, critic: AbstractCritic, num_returns: int = 32, num_steps: int | Int[Array, ""] = 10
    ) -> dict[str, Float[Array, ""]]:
        """Errors of a critic at the held-out rows, by what was recorded; quick, to follow a training.

        **Arguments:**

        - `critic`: the critic.
        - `num_returns`, `num_steps`: atoms and steps in flow time.

        **Returns:**

        Numbers by name; none without rows. All but the coverage are in units of return.

        - `held_out_w1`: W_1 between all distributions together and all returns. It tells whether the distributions are
          right on average.
        - `held_out_crps`: the mean CRPS, which compares every distribution with its own return.
        - `held_out_error`: the mean predicted return minus the mean return.
        - `held_out_coverage`: the share of returns in the central 90 % of their distributions.
        - `held_out_unknown`: the mean of `high` - `low`. With complete returns, each of the first three could differ
          from its number here by this much, but not by more: they move by at most 1 if every return moves by 1.
        """
        if len(self.returns) == 0:
            return {}
        distribution, pooled = self._distributions(critic, num_returns, num_steps)
        return {
            "held_out_w1": jnp.mean(quantile_distances(pooled, jnp.sort(self.returns))),
            "held_out_crps": jnp.mean(jax.vmap(crps)(distribution, self.returns)),
            "held_out_error": jnp.mean(mean(distribution) - self.returns),
            "held_out_coverage": jnp.mean(jnp.abs(pit(distribution, self.returns) - 0.5) <= 0.45),
            "held_out_unknown": jnp.mean(self.high - self.low),
        }

    @eqx.filter_jit
    def bounds(
        self, critic: AbstractCritic, num_returns: int = 32, num_steps: int | Int[Array, ""] = 10
    ) -> dict[str, Bounds]:
        """The least and the most that each error can be, whatever followed the returns that were cut off.

        **Arguments:** those of a call. **Returns:** (low, high) by name, as `score_bounds` finds them; equal if no
        return was cut off, none without rows.
        """
        if len(self.returns) == 0:
            return {}
        return score_bounds(*self._distributions(critic, num_returns, num_steps), self.low, self.high)

    def _distributions(
        self, critic: AbstractCritic, num_returns: int, num_steps: int | Int[Array, ""]
    ) -> tuple[ReturnDistribution, ReturnDistribution]:
        """The critic's distributions at the rows, and all of them together."""
        each = distributions(critic, self.obs, self.chunks, num_returns, num_steps)
        return each, ReturnDistribution(each.atoms.ravel(), each.weights.ravel() / len(self.returns))
