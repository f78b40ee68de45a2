"""Phase 1: the base policy pi_base(chunk | obs), a flow trained by behaviour cloning.

Loss (one example): || v_phi(a_t, t | x) - (a - a_0) ||^2 / dim, a_0 ~ N(0, I), a from the data, t as the solver has it.
One base policy serves every task of a dataset, because it does not depend on the reward.
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
    """A velocity field over chunks given features of the observation; actions live in [-1, 1] (OGBench's bounds)."""

    field: AbstractField
    features: ObservationFeatures
    chunk_size: int = eqx.field(static=True)
    solver: flow_matching.Solver = eqx.field(static=True)

    def loss(self, target: "FlowPolicy", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Flow-matching loss of one example, and its record of scalars. `target` has no say: nothing bootstraps."""
        noise_key, time_key = jax.random.split(key)
        x_0 = jax.random.normal(noise_key, example.chunk.shape)
        t = self.solver.time(jax.random.uniform(time_key))
        vel = self.field(flow_matching.interpolate(x_0, example.chunk, t), t, self.features(example.obs))
        loss = flow_matching.regression_loss(vel, example.chunk - x_0)
        return loss, {"loss": loss}

    def transport(
        self, obs: Float[Array, " obs"], x_0: Float[Array, "num chunk"], num_steps: int | Int[Array, ""]
    ) -> Float[Array, "num chunk"]:
        """Carry noise to chunks at one observation by `num_steps` steps, clipped to the action bounds."""
        velocity = self.field.bind(self.features(obs))
        chunks = jax.vmap(lambda noise: self.solver.integrate(velocity, noise, num_steps))(x_0)
        return jnp.clip(chunks, -1.0, 1.0)

    def sample(
        self, obs: Float[Array, " obs"], num: int, num_steps: int | Int[Array, ""], *, key: PRNGKeyArray
    ) -> Float[Array, "num chunk"]:
        """Draw `num` chunks at one observation. The first k of `num` draws are the k draws of a smaller call."""
        return self.transport(obs, candidate_noise(num, self.chunk_size, key=key), num_steps)


def candidate_noise(num: int, size: int, *, key: PRNGKeyArray) -> Float[Array, "num size"]:
    """Noise for `num` draws, each from its own sub-key, so that draws for N_pi = 8 are the first 8 of those for 64."""
    return jax.vmap(lambda index: jax.random.normal(jax.random.fold_in(key, index), (size,)))(jnp.arange(num))


def make_policy(
    config: PolicyConfig, obs_size: int, chunk_size: int, *, key: jax.Array, statistics: Statistics | None = None
) -> FlowPolicy:
    """An untrained base policy; without statistics it takes observations as they are."""
    features = make_features(config.network, obs_size, statistics)
    field = make_field(config.network, chunk_size, features.size, key=key)
    return FlowPolicy(field, features, chunk_size, SOLVERS[config.solver])
