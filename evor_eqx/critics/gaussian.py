"""Baseline: the reward-to-go as a Gaussian N(mu, sigma^2), trained by distributional temporal differences.

The backup of a Gaussian is a Gaussian, N(r + gamma m mu', (gamma m sigma')^2), and the cross-entropy between two
Gaussians has a closed form, so no return is sampled. Mixing over rewards, next states and next chunks gives a
distribution that is no Gaussian; the cross-entropy's minimiser has that mixture's mean and variance. Both obey their
own Bellman equations, so at the fixed point both are those of the true distribution, whose shape beyond them is lost.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic, CriticInputs, ReturnScale
from evor_eqx.critics.registry import register_critic
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.nn import flow_matching
from evor_eqx.nn.factory import make_mlp
from evor_eqx.nn.mlp import MLP
from evor_eqx.types import Batch, Metrics

STD_FLOOR = 0.05  # in the model's unit: the distribution of a certain return is this wide


@register_critic("gaussian")
@dataclass(frozen=True)
class GaussianConfig(CriticConfig):
    """A Gaussian distribution of returns."""

    def make(self, inputs: CriticInputs, scale: ReturnScale, *, key: PRNGKeyArray) -> "GaussianCritic":
        """One network with two outputs; see `CriticConfig.make`."""
        return GaussianCritic(make_mlp(self.network, inputs.size, 2, key=key), inputs, scale)


def cross_entropy(
    mean: Float[Array, ""], std: Float[Array, ""], target_mean: Float[Array, ""], target_std: Float[Array, ""]
) -> Float[Array, ""]:
    """H(p, q) = log sigma + ((mu - mu_p)^2 + sigma_p^2) / (2 sigma^2), without the constant log(2 pi) / 2.

    From -log q(z) = log sigma + (z - mu)^2 / (2 sigma^2) + const and E_p (z - mu)^2 = (mu - mu_p)^2 + sigma_p^2. Over
    a mixture of targets it is least at mu = E mu_p and sigma^2 = E [sigma_p^2 + (mu_p - mu)^2], the mixture's moments.
    """
    return jnp.log(std) + (jnp.square(mean - target_mean) + jnp.square(target_std)) / (2 * jnp.square(std))


class GaussianCritic(AbstractCritic):
    """Mean and standard deviation of the reward-to-go; `network` has two outputs, in the units of the model."""

    network: MLP
    inputs: CriticInputs
    scale: ReturnScale

    def loss(self, target: "GaussianCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Cross-entropy of the model under N(r + gamma m mu', (gamma m sigma')^2), for one example."""
        backup_mean, backup_std = jax.lax.stop_gradient(target.backup(example))
        loss = cross_entropy(*self.predict(example.obs, example.chunk), backup_mean, backup_std)
        return loss, {"loss": loss, "target_return": self.scale.to_return(backup_mean)}

    def distribution(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnDistribution:
        """The N mid-quantiles of the Gaussian, each with weight 1 / N."""
        mean, std = self.predict(obs, chunk)
        atoms = self.scale.to_return(mean + std * flow_matching.mid_quantile_noise(num_returns))
        return ReturnDistribution.of_equal_weights(atoms)

    def predict(
        self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean and standard deviation, in units of the model.

        sigma = floor + exp(y) bounds log sigma softly from below: it is log(floor) + softplus(y - log(floor)). Without
        a floor, sigma of a sure return goes to 0 and the loss to minus infinity.
        """
        mean, log_excess = self.network(self.inputs(obs, chunk))
        return mean, STD_FLOOR + jnp.exp(log_excess)

    def backup(self, example: Batch) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean and standard deviation of r + gamma m z', z' ~ N(mu', sigma'^2) by this network, in units of the model.

        The mean is clipped to the possible returns.
        """
        mean, std = self.predict(example.next_obs, example.next_chunk)
        kept = example.discount * example.mask
        return self.scale.to_unit(example.reward + kept * self.scale.to_return(mean)), kept * std
