"""Baseline: the expected reward-to-go alone, Q(x, a), trained by temporal differences on squared error.

Its distribution is one atom, so tau_R changes nothing. This shows what EVOR loses without the spread of returns.
"""

from abc import abstractmethod
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic, CriticInputs, ReturnScale
from evor_eqx.critics.registry import register_critic
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.nn.factory import make_mlp
from evor_eqx.nn.mlp import MLP
from evor_eqx.types import Batch, Metrics


@register_critic("scalar")
@dataclass(frozen=True)
class ScalarConfig(CriticConfig):
    """The expected reward-to-go alone."""

    def make(self, inputs: CriticInputs, scale: ReturnScale, *, key: PRNGKeyArray) -> "ScalarCritic":
        """One network with one output; see `CriticConfig.make`."""
        return ScalarCritic(network=make_mlp(self.network, inputs.size, 1, key=key), inputs=inputs, scale=scale)


class AbstractValue(AbstractCritic):
    """A critic that predicts one number per chunk instead of a distribution."""

    scale: eqx.AbstractVar[ReturnScale]

    def distribution(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnDistribution:
        """One atom of weight 1: the predicted number."""
        return ReturnDistribution.of_equal_weights(self.scale.to_return(self.predict(obs, chunk))[None])

    @abstractmethod
    def predict(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, ""]:
        """The predicted number, in units of the model."""


class ScalarCritic(AbstractValue):
    """The mean of the reward-to-go; `network` has one output, in the units of the model (see `ReturnScale`)."""

    network: MLP
    inputs: CriticInputs
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
