"""Features of flow time and of observations against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np

from evor_eqx.nn.features import ObservationFeatures, state_features, time_features

KEY = jax.random.key(0)


def test_time_features_are_time_and_its_first_fourier_modes():
    expected = [0.25, *np.sin(np.pi * 0.25 * np.array([1, 2])), *np.cos(np.pi * 0.25 * np.array([1, 2]))]
    np.testing.assert_allclose(time_features(jnp.array(0.25), 2), expected, atol=1e-6)
    assert time_features(jnp.array(0.25), 0).tolist() == [0.25]


def test_state_features_are_the_state_and_its_waves():
    x, angles = np.array([0.5, -1.0]), np.array([0.5, -1.0, 1.0, -2.0, 2.0, -4.0])
    expected = [*x, *np.sin(angles), *np.cos(angles)]
    np.testing.assert_allclose(state_features(jnp.asarray(x), 3), expected, atol=1e-6)
    assert state_features(jnp.asarray(x), 0).tolist() == x.tolist()


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
