"""The interface of a critic: the return distribution at (obs, chunk). Written for one example; the caller vmaps.

Each critic has one file: its configuration (a `CriticConfig`, registered by name) with `make`, then the module with
`loss` and `distribution`.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.distributions import ReturnDistribution
from evor_eqx.nn.features import ObservationFeatures
from evor_eqx.types import Batch, Metrics


class ReturnScale(eqx.Module):
    """The affine map between returns and the units of a model; computed from the data.

    Each field is a scalar, or has one entry for each of several tasks.

    - `shift`, `scale`: mean and standard deviation of the recorded returns. In model units, (z - shift) / scale, the
      recorded returns have mean 0 and standard deviation 1.
    - `low`, `high`: bounds of every possible return, to which training targets are clipped. They are
      min(0, r_min / (1 - gamma)) and max(0, r_max / (1 - gamma)), where r_min and r_max are the least and the largest
      reward of the data. Zero is among the bounds, because nothing is earned after the end of a task.
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
        """The Bellman backup r + gamma^n m z, clipped to the possible range, in model units.

        **Arguments:**

        - `example`: one window. r is its `reward`, the discounted sum of n rewards; gamma^n is its `discount`; m is its
          `mask`.
        - `z`: the return from the next state on, in units of return.
        """
        return self.to_unit(example.reward + example.discount * example.mask * z)


class CriticInputs(eqx.Module):
    """What a critic's network sees: features of the observation, and the chunk.

    - `features`: the map from an observation to its standardised entries and, if `num_obs_frequencies` is above 0, to
      sines and cosines of them.
    - `chunk_size`: length of a flattened chunk, h times the size of an action.
    """

    features: ObservationFeatures
    chunk_size: int = eqx.field(static=True)

    def __call__(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, " cond"]:
        """The network's input at one observation and one chunk, a vector of length `size`.

        **Arguments:**

        - `obs`: an observation in the environment's units, [obs].
        - `chunk`: h actions, flattened, in [-1, 1], [h * act].
        """
        return jnp.concatenate([self.features(obs), chunk])

    @property
    def size(self) -> int:
        """Length of the network's input."""
        return self.features.size + self.chunk_size


class AbstractCritic(eqx.Module):
    """A model of the distribution R(. | obs, chunk) of the return under the base policy, after the chunk is taken."""

    @abstractmethod
    def loss(self, target: "AbstractCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Training loss of one example.

        **Arguments:**

        - `target`: the target network, this critic's moving average; a constant to the gradient.
        - `example`: one window of the dataset, a `Batch` without a batch axis.
        - `key`: a random key.

        **Returns:**

        The loss, a scalar, and a record of scalars to log, `loss` among them.
        """

    @abstractmethod
    def distribution(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnDistribution:
        """The return distribution in units of return.

        **Arguments:**

        - `obs`, `chunk`: one observation, and the h actions of a chunk, flattened, in [-1, 1].
        - `num_returns`: N >= 1, the number of atoms. Critics whose atoms are fixed by their network ignore it.
        - `num_steps`: steps in flow time, for flows; others ignore it.
        """
