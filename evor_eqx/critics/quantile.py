"""Baseline: the reward-to-go as K quantiles at fixed levels (QR-DQN; Dabney et al. 2018, arXiv 1710.10044).

Differences from the paper:

1. it evaluates the behaviour policy on n-step windows of its data; there is no maximum over actions;
2. kappa is 0.01 instead of 1. Within kappa of the target the loss is quadratic, and its minimiser there is an
   expectile, pulled towards the mean. The paper's kappa is one (clipped) reward; here the unit is the standard
   deviation of all recorded returns, and the distribution at one (obs, chunk) is narrower than that, so kappa = 1 would
   learn little more than its mean. The small quadratic part that is left only keeps the gradient continuous;
3. the loss is the mean over quantiles, not their sum, so that its size does not depend on K.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic, CriticInputs, ReturnScale
from evor_eqx.critics.registry import register_critic
from evor_eqx.distributions import ReturnDistribution, mid_levels
from evor_eqx.nn.factory import make_mlp
from evor_eqx.nn.mlp import MLP
from evor_eqx.system.checked import within
from evor_eqx.types import Batch, Metrics

KAPPA = 0.01  # in units of the model: a hundredth of the data's standard deviation of returns


@register_critic("qr_dqn")
@dataclass(frozen=True)
class QuantileConfig(CriticConfig):
    """QR-DQN: the reward-to-go as quantiles at fixed levels."""

    num_atoms: int = within(2, 1001, 51)
    """Quantiles, K; 11 to 201."""

    def make(self, inputs: CriticInputs, scale: ReturnScale, *, key: PRNGKeyArray) -> "QuantileCritic":
        """One network with K outputs; see `CriticConfig.make`."""
        return QuantileCritic(make_mlp(self.network, inputs.size, self.num_atoms, key=key), inputs, scale)


def quantile_huber_loss(
    predicted: Float[Array, " levels"],
    levels: Float[Array, " levels"],
    targets: Float[Array, " atoms"],
    kappa: float = 1.0,
) -> Float[Array, ""]:
    """Mean over levels u_i and targets z_j of |u_i - 1{d < 0}| L_kappa(d) / kappa with d = z_j - q_i.

    L_kappa(d) = d^2 / 2 where |d| <= kappa, kappa (|d| - kappa / 2) beyond (the paper's equations 9 and 10; divided by
    kappa as in IQN's equation 3). kappa >= 0 has the unit of the returns. With kappa = 0 this is the pinball loss,
    whose minimiser is the quantile itself.
    """
    error = targets[None, :] - predicted[:, None]
    slope = jnp.abs(levels[:, None] - jnp.where(error < 0, 1.0, 0.0))
    return jnp.mean(slope * _scaled_huber(error, kappa))


def _scaled_huber(error: Float[Array, "levels atoms"], kappa: float) -> Float[Array, "levels atoms"]:
    size = jnp.abs(error)
    if kappa == 0:
        return size
    return jnp.where(size <= kappa, jnp.square(error) / (2 * kappa), size - kappa / 2)


class QuantileCritic(AbstractCritic):
    """K quantiles of the reward-to-go at the mid levels; `network` has K outputs, in the units of the model."""

    network: MLP
    inputs: CriticInputs
    scale: ReturnScale

    def loss(self, target: "QuantileCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Quantile regression of r + gamma m z' for one example, z' the K quantiles of the target network."""
        backup = jax.lax.stop_gradient(target.backup(example))
        predicted = self.predict(example.obs, example.chunk)
        loss = quantile_huber_loss(predicted, jnp.asarray(mid_levels(predicted.shape[0])), backup, KAPPA)
        return loss, {"loss": loss, "target_return": self.scale.to_return(jnp.mean(backup))}

    def distribution(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnDistribution:
        """The K quantiles, each with weight 1 / K. `num_returns` is ignored; only an `EnsembleCritic` gives N atoms."""
        return ReturnDistribution.of_equal_weights(self.scale.to_return(self.predict(obs, chunk)))

    def predict(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, " levels"]:
        """The quantiles, in units of the model; nothing forces them to rise with the level."""
        return self.network(self.inputs(obs, chunk))

    def backup(self, example: Batch) -> Float[Array, " levels"]:
        """r + gamma m z' for every quantile z' of this network, in units of the model."""
        z_next = self.scale.to_return(self.predict(example.next_obs, example.next_chunk))
        return self.scale.backup(example, z_next)
