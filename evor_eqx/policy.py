"""Phase 1: the base policy pi_base(chunk | obs), a flow trained by behaviour cloning.

Loss of one example: || v_phi(a_t, t | x) - (a - a_0) ||^2 / dim with a_0 ~ N(0, I), a from the data, t from the solver.
All tasks of a dataset share one base policy, because it does not depend on the reward.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.config import PolicyConfig
from evor_eqx.nn import flow_matching
from evor_eqx.nn.factory import Statistics, make_features, make_field
from evor_eqx.nn.features import ObservationFeatures
from evor_eqx.nn.fields import AbstractField
from evor_eqx.nn.flow_matching import SOLVERS
from evor_eqx.types import Batch, Metrics


class FlowPolicy(eqx.Module):
    """A velocity field over chunks, given features of the observation. Actions are in [-1, 1] (OGBench's bounds)."""

    field: AbstractField
    features: ObservationFeatures
    chunk_size: int = eqx.field(static=True)
    chunk_length: int = eqx.field(static=True)
    solver: flow_matching.Solver = eqx.field(static=True)

    @property
    def obs_size(self) -> int:
        """The length of an observation."""
        return len(self.features.mean)

    def loss(self, target: "FlowPolicy", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Flow-matching loss of one example, and scalars to log. `target` is unused, because nothing bootstraps."""
        noise_key, time_key = jax.random.split(key)
        x_0 = jax.random.normal(noise_key, example.chunk.shape)
        t = self.solver.time(jax.random.uniform(time_key))
        vel = self.field(flow_matching.interpolate(x_0, example.chunk, t), t, self.features(example.obs))
        loss = flow_matching.regression_loss(vel, example.chunk - x_0)
        return loss, {"loss": loss}

    def transport(
        self, obs: Float[Array, " obs"], x_0: Float[Array, "num chunk"], num_steps: int | Int[Array, ""]
    ) -> Float[Array, "num chunk"]:
        """Map noise x_0 to chunks at one observation in `num_steps` steps. Chunks are clipped to the action bounds."""
        velocity = self.field.bind(self.features(obs))
        chunks = jax.vmap(lambda noise: self.solver.integrate(velocity, noise, num_steps))(x_0)
        return jnp.clip(chunks, -1.0, 1.0)

    def sample(
        self, obs: Float[Array, " obs"], num: int, num_steps: int | Int[Array, ""], *, key: PRNGKeyArray
    ) -> Float[Array, "num chunk"]:
        """Draw `num` chunks at one observation. With the same key, a smaller `num` gives the first of these draws."""
        return self.transport(obs, candidate_noise(num, self.chunk_size, key=key), num_steps)


def candidate_noise(num: int, size: int, *, key: PRNGKeyArray) -> Float[Array, "num size"]:
    """Noise for `num` draws, each from its own sub-key, so that 8 draws are the first 8 of 64."""
    return jax.vmap(lambda index: jax.random.normal(jax.random.fold_in(key, index), (size,)))(jnp.arange(num))


def make_policy(
    config: PolicyConfig, obs_size: int, chunk_size: int, *, key: jax.Array, statistics: Statistics | None = None
) -> FlowPolicy:
    """Make an untrained base policy. Without statistics, observations are not rescaled."""
    features = make_features(config.network, obs_size, statistics)
    field = make_field(config.network, chunk_size, features.size, key=key)
    return FlowPolicy(field, features, chunk_size, config.chunk_length, SOLVERS[config.solver])
