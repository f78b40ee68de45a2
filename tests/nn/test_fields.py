"""Networks against a naive NumPy forward pass, and the two fields against each other's contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from evor_eqx.config import NetworkConfig, PolicyConfig
from evor_eqx.nn.features import ObservationFeatures, time_features
from evor_eqx.nn.fields import FactorisedField, MLPField
from evor_eqx.nn.mlp import MLP
from evor_eqx.policy import make_policy

KEY = jax.random.key(0)
FIELDS = {
    "mlp": MLPField(2, 5, width=16, depth=2, use_layer_norm=True, key=KEY),
    "factorised": FactorisedField(2, 5, width=16, depth=2, head_width=8, use_layer_norm=True, key=KEY),
    "mlp, Fourier": MLPField(2, 5, width=16, depth=2, use_layer_norm=True, num_frequencies=3, key=KEY),
    "factorised, Fourier": FactorisedField(
        2, 5, width=16, depth=2, head_width=8, use_layer_norm=True, num_frequencies=3, key=KEY
    ),
}


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


@pytest.mark.parametrize("name", FIELDS)
def test_encoding_once_equals_calling_the_field(name):
    field, cond = FIELDS[name], jax.random.normal(KEY, (5,))
    x, t = jnp.array([0.3, -0.7]), jnp.array(0.4)
    np.testing.assert_allclose(field.bind(cond)(x, t), field(x, t, cond), rtol=1e-6)


@pytest.mark.parametrize("name", FIELDS)
def test_field_depends_on_state_time_and_condition(name):
    field, cond = FIELDS[name], jax.random.normal(KEY, (5,))
    x, t = jnp.array([0.3, -0.7]), jnp.array(0.4)
    here = field(x, t, cond)
    for other in (field(x + 0.5, t, cond), field(x, t + 0.5, cond), field(x, t, cond + 0.5)):
        assert np.abs(np.asarray(other - here)).max() > 1e-4


def test_time_features_are_time_and_its_first_fourier_modes():
    expected = [0.25, *np.sin(np.pi * 0.25 * np.array([1, 2])), *np.cos(np.pi * 0.25 * np.array([1, 2]))]
    np.testing.assert_allclose(time_features(jnp.array(0.25), 2), expected, atol=1e-6)
    assert time_features(jnp.array(0.25), 0).tolist() == [0.25]


def test_observation_features_are_standardised_entries_and_their_waves():
    features = ObservationFeatures(jnp.array([1.0, 2.0]), jnp.array([2.0, 4.0]), num_frequencies=3)
    angles = np.pi * np.array([0.25, -0.5, 0.5, -1.0, 1.0, -2.0])
    expected = [0.25, -0.5, *np.sin(angles), *np.cos(angles)]
    np.testing.assert_allclose(features(jnp.array([1.5, 0.0])), expected, atol=1e-5)
    assert features.size == len(expected)


def test_observations_are_standardised_by_statistics_that_are_never_trained():
    obs = jax.random.normal(KEY, (1000, 3)) * jnp.array([1.0, 10.0, 0.1]) + 5
    features = ObservationFeatures(obs.mean(axis=0), obs.std(axis=0))
    unit = jax.vmap(features)(obs)
    np.testing.assert_allclose(unit.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(unit.std(axis=0), 1, rtol=1e-4)
    gradient = jax.grad(lambda n: jnp.sum(n(obs[0])))(features)
    np.testing.assert_array_equal(gradient.mean, 0)
    np.testing.assert_array_equal(gradient.std, 0)


def test_common_units_keep_the_proportions_of_the_observations():
    statistics = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.001, 0.5, 4.0])
    obs = jnp.array([1.1, 3.0, 5.0])
    for units, expected in (("each", [100.0, 2.0, 0.5]), ("common", [0.2, 2.0, 4.0])):
        network = NetworkConfig(width=4, depth=1, obs_units=units)
        policy = make_policy(PolicyConfig(network=network), 3, 2, key=KEY, statistics=statistics)
        np.testing.assert_allclose(policy.features(obs), expected, rtol=1e-5)
