"""The multi-layer perceptron against a naive NumPy forward pass."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf

from evor_eqx.nn.mlp import MLP

KEY = jax.random.key(0)


def test_mlp_is_linear_gelu_layernorm_per_layer():
    network = MLP(3, 2, width=8, depth=2, use_layer_norm=True, key=KEY)
    x = np.array([0.5, -1.0, 2.0], np.float32)
    hidden = x
    for layer in network.layers:
        hidden = np.asarray(layer.weight) @ hidden + np.asarray(layer.bias)
        hidden = hidden * 0.5 * (1 + erf(hidden / np.sqrt(2)))
        hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
    expected = np.asarray(network.output.weight) @ hidden + np.asarray(network.output.bias)
    # JAX's GELU is the tanh approximation: up to 1e-3 from the exact one.
    np.testing.assert_allclose(network(jnp.asarray(x)), expected, atol=5e-3)
