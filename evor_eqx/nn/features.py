"""Input features of networks: of the observation and of flow time."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def time_features(t: Float[Array, ""], num_frequencies: int) -> Float[Array, " time"]:
    """t and, for k = 1..num_frequencies, sin(pi k t) and cos(pi k t): 1 + 2 num_frequencies numbers."""
    angles = jnp.pi * jnp.arange(1, num_frequencies + 1) * t
    return jnp.concatenate([jnp.reshape(t, 1), jnp.sin(angles), jnp.cos(angles)])


def state_features(x: Float[Array, " x"], num_frequencies: int) -> Float[Array, " features"]:
    """The flow's state x and, for k < num_frequencies, sin(2^k x) and cos(2^k x) of each coordinate.

    Networks first learn functions that change slowly with their inputs (arXiv 1806.08734), but the field of a
    distribution with atoms has a step between each two of them.
    """
    angles = jnp.outer(2.0 ** jnp.arange(num_frequencies), x).ravel()
    return jnp.concatenate([x, jnp.sin(angles), jnp.cos(angles)])


class ObservationFeatures(eqx.Module):
    """The standardised entries o of an observation and, for k < num_frequencies, sin(2^k pi o) and cos(2^k pi o).

    Networks first learn functions that change slowly with their inputs (arXiv 1806.08734). A maze's walls, or slowing
    down close to a goal, are sharp changes. Fourier features let networks learn them (arXiv 2006.10739). The mean and
    the standard deviation are never trained.
    """

    mean: Float[Array, " obs"]
    std: Float[Array, " obs"]
    num_frequencies: int = eqx.field(static=True, default=0)

    def __call__(self, obs: Float[Array, " obs"]) -> Float[Array, " features"]:
        unit = (obs - jax.lax.stop_gradient(self.mean)) / jax.lax.stop_gradient(self.std)
        angles = jnp.pi * jnp.outer(2.0 ** jnp.arange(self.num_frequencies), unit).ravel()
        return jnp.concatenate([unit, jnp.sin(angles), jnp.cos(angles)])

    @property
    def size(self) -> int:
        """The number of features."""
        return len(self.mean) * (1 + 2 * self.num_frequencies)
