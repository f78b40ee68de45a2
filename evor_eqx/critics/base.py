"""What every critic answers: the law of the reward-to-go at (obs, chunk). Written for one example."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx import distributions
from evor_eqx.distributions import ReturnLaw
from evor_eqx.nn.features import ObservationFeatures
from evor_eqx.types import Batch, Metrics

# Enough to tell the best of a few draws, at every backup: on three tasks of the suite the best of four by the mean of
# so coarse a law had lost less than 1 % of what the best by a fine one is above the average draw.
FEW_ATOMS_AND_STEPS = (4, 2)


class ReturnScale(eqx.Module):
    """The affine map between returns and the unit-sized state of a model, taken from the data and kept with it.

    `low` and `high` bound every possible return: [r_min, r_max] / (1 - gamma). Training targets stay inside. A scalar
    each, or one for each of several tasks.
    """

    shift: Float[Array, "*tasks"]
    scale: Float[Array, "*tasks"]
    low: Float[Array, "*tasks"]
    high: Float[Array, "*tasks"]

    def to_unit(self, z: Float[Array, "*z"]) -> Float[Array, "*z"]:
        """Returns to model units, clipped to the possible range first."""
        shift, scale, low, high = jax.lax.stop_gradient((self.shift, self.scale, self.low, self.high))
        return (jnp.clip(z, low, high) - shift) / scale

    def to_return(self, unit: Float[Array, "*z"]) -> Float[Array, "*z"]:
        """Model units to returns."""
        shift, scale = jax.lax.stop_gradient((self.shift, self.scale))
        return shift + scale * unit

    def backup(self, example: Batch, z: Float[Array, "*z"]) -> Float[Array, "*z"]:
        """r + gamma m z, the Bellman backup of returns z from the next state on, in model units."""
        return self.to_unit(example.reward + example.discount * example.mask * z)


class Inputs(eqx.Module):
    """What a critic is conditioned on: features of the observation, and the chunk."""

    features: ObservationFeatures

    def __call__(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, " cond"]:
        return jnp.concatenate([self.features(obs), chunk])


class AbstractCritic(eqx.Module):
    """A model of the law R(. | obs, chunk) of the reward-to-go under the base policy."""

    @abstractmethod
    def loss(self, target: "AbstractCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Training loss of one example against the target network, and its record of scalars."""

    @abstractmethod
    def law(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnLaw:
        """The law in units of return, as `num_returns` = N >= 1 atoms where the critic can choose their number.

        Flows take `num_steps` steps in flow time; critics whose atoms are fixed by their network ignore both.
        """

    def choose(self, batch: Batch) -> Batch:
        """The batch with argmax_j of `worth`(x', a'_j), the best of the draws at the next state, as its next chunk.

        For a whole batch at once, which is several times as fast as one by one; no gradient passes through it.
        """
        assert batch.next_draws is not None
        draws = batch.next_draws.reshape(-1, batch.next_draws.shape[-1])
        obs = jnp.repeat(batch.next_obs, batch.next_draws.shape[-2], axis=0)
        values = jax.vmap(self.worth)(obs, draws).reshape(batch.next_draws.shape[:-1])
        best = jnp.argmax(values, axis=-1)[:, None, None]
        next_chunk = jnp.take_along_axis(batch.next_draws, best, axis=1)[:, 0]
        return eqx.tree_at(lambda b: b.next_chunk, batch, jax.lax.stop_gradient(next_chunk))

    def worth(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, ""]:
        """What `choose` compares draws by: the mean of the law, in units of return, of a few atoms and steps."""
        return distributions.mean(self.law(obs, chunk, *FEW_ATOMS_AND_STEPS))
