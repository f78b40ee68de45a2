"""Baseline: the reward-to-go by its quantile function at any level (IQN; Dabney et al. 2018, arXiv 1806.06923).

Differences from the paper:

1. it evaluates the behaviour policy on n-step windows of its data; there is no maximum over actions;
2. kappa is 0.01 instead of 1, for the reason given in `critics.quantile`;
3. the head after the product is linear; the paper has one more hidden layer. The embedded level multiplies the last
   hidden layer (the only one without LayerNorm), so the network is as deep as those of the other critics, and N levels
   cost little more than one;
4. the distribution is read at the mid levels instead of random ones.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic, CriticInputs, ReturnScale
from evor_eqx.critics.quantile import KAPPA, quantile_huber_loss
from evor_eqx.critics.registry import register_critic
from evor_eqx.distributions import ReturnDistribution, mid_levels
from evor_eqx.nn.mlp import MLP
from evor_eqx.types import Batch, Metrics

NUM_COSINES = 64  # of a level's embedding (the paper's n)
NUM_LEVELS = 8  # drawn for the prediction, and again for the target (the paper's N and N')


@register_critic("iqn")
@dataclass(frozen=True)
class IQNConfig(CriticConfig):
    """The quantile function of the reward-to-go at any level."""

    def make(self, inputs: CriticInputs, scale: ReturnScale, *, key: PRNGKeyArray) -> "IQNCritic":
        """One network of the condition and a level; see `CriticConfig.make`."""
        sizes = self.network
        network = LevelNetwork(inputs.size, sizes.width, sizes.depth, sizes.use_layer_norm, key=key)
        return IQNCritic(network, inputs, scale)


class LevelNetwork(eqx.Module):
    """f(psi(c) * phi(u)): features of the condition c, times an embedding of the level u, and a linear head.

    phi_j(u) = relu(sum_{i < 64} cos(pi i u) w_ij + b_j) (the paper's equation 4). psi is the last of `depth` hidden
    layers of `width` units.
    """

    encoder: MLP
    embedding: eqx.nn.Linear
    head: eqx.nn.Linear

    def __init__(self, cond_size: int, width: int, depth: int, use_layer_norm: bool, *, key: PRNGKeyArray):
        encoder_key, embedding_key, head_key = jax.random.split(key, 3)
        self.encoder = MLP(cond_size, width, width, depth - 1, use_layer_norm, key=encoder_key)
        self.embedding = eqx.nn.Linear(NUM_COSINES, width, key=embedding_key)
        self.head = eqx.nn.Linear(width, 1, key=head_key)

    def __call__(self, cond: Float[Array, " cond"], levels: Float[Array, " levels"]) -> Float[Array, " levels"]:
        """One number per level; the condition is encoded once."""
        features = jax.nn.gelu(self.encoder(cond))
        return jax.vmap(lambda level: self.head(features * self.embed(level))[0])(levels)

    def embed(self, level: Float[Array, ""]) -> Float[Array, " width"]:
        """phi(u)."""
        return jax.nn.relu(self.embedding(jnp.cos(jnp.pi * level * jnp.arange(NUM_COSINES))))


class IQNCritic(AbstractCritic):
    """The quantile function of the reward-to-go; `network` answers at any level, in the units of the model."""

    network: LevelNetwork
    inputs: CriticInputs
    scale: ReturnScale

    def loss(self, target: "IQNCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Quantile regression of r + gamma m z' for one example, at random levels on both sides."""
        level_key, next_level_key = jax.random.split(key)
        levels = jax.random.uniform(level_key, (NUM_LEVELS,))
        backup = jax.lax.stop_gradient(target.backup(example, jax.random.uniform(next_level_key, (NUM_LEVELS,))))
        loss = quantile_huber_loss(self.predict(example.obs, example.chunk, levels), levels, backup, KAPPA)
        return loss, {"loss": loss, "target_return": self.scale.to_return(jnp.mean(backup))}

    def distribution(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnDistribution:
        """The N mid-quantiles, each with weight 1 / N."""
        quantiles = self.predict(obs, chunk, jnp.asarray(mid_levels(num_returns)))
        return ReturnDistribution.of_equal_weights(self.scale.to_return(quantiles))

    def predict(
        self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"], levels: Float[Array, " levels"]
    ) -> Float[Array, " levels"]:
        """The quantiles at the given levels in (0, 1), in units of the model; nothing forces them to rise."""
        return self.network(self.inputs(obs, chunk), levels)

    def backup(self, example: Batch, levels: Float[Array, " levels"]) -> Float[Array, " levels"]:
        """r + gamma m z' for the quantiles z' of this network at the given levels, in units of the model."""
        z_next = self.scale.to_return(self.predict(example.next_obs, example.next_chunk, levels))
        return self.scale.backup(example, z_next)
