"""What tests of training share: a model of one number that is trained in no time."""

import equinox as eqx
import jax
import jax.numpy as jnp

from evor_eqx.config import TrainConfig

CONFIG = TrainConfig(num_updates=60, batch_size=8, learning_rate=1e-2, ema_rate=0.1, log_every=10, checkpoint_every=20)
KEY = jax.random.key(0)


class Slope(eqx.Module):
    """A model of one number: reward = slope * obs."""

    slope: jax.Array

    def loss(self, target, example, *, key):
        """Squared error with noise from the key, so that a wrong key shows."""
        noise = 0.1 * jax.random.normal(key)
        value = jnp.square(self.slope * example.obs[0] + noise - example.reward)
        return value, {"loss": value}


def make_model():
    return Slope(jnp.zeros(()))
