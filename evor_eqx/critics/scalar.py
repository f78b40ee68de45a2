"""Baseline: the expected reward-to-go alone, Q(x, a), trained by temporal differences on squared error.

Its law is one atom, so tau_R changes nothing: what EVOR loses when it may not see the spread of returns.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.critics.base import AbstractCritic, Inputs, ReturnScale
from evor_eqx.distributions import ReturnLaw
from evor_eqx.nn.mlp import MLP
from evor_eqx.types import Batch, Metrics


class AbstractValue(AbstractCritic):
    """One number for a chunk, in the place of a law."""

    scale: eqx.AbstractVar[ReturnScale]

    def law(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnLaw:
        """One atom of weight 1, that number."""
        return ReturnLaw(atoms=self.scale.to_return(self.predict(obs, chunk))[None], weights=jnp.ones(1))

    @abstractmethod
    def predict(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, ""]:
        """The number, in units of the model."""


class ScalarCritic(AbstractValue):
    """The mean of the reward-to-go; `network` has one output, in the units of the model."""

    network: MLP
    inputs: Inputs
    scale: ReturnScale

    def loss(self, target: "ScalarCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """(Q(x, a) - (r + gamma m Q'(x', a')))^2 for one example, in units of the model."""
        backup = jax.lax.stop_gradient(target.backup(example))
        loss = jnp.square(self.predict(example.obs, example.chunk) - backup)
        return loss, {"loss": loss, "target_return": self.scale.to_return(backup)}

    def predict(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, ""]:
        """The mean, in units of the model."""
        return self.network(self.inputs(obs, chunk))[0]

    def backup(self, example: Batch) -> Float[Array, ""]:
        """r + gamma m Q(x', a') by this network, in units of the model."""
        z_next = self.scale.to_return(self.predict(example.next_obs, example.next_chunk))
        return self.scale.backup(example, z_next)
