"""Networks and features are made as their configuration says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.config import FieldConfig, NetworkConfig
from evor_eqx.nn.factory import make_features, make_field, make_mlp
from evor_eqx.nn.fields import FactorisedField, MLPField

KEY = jax.random.key(0)


@pytest.mark.parametrize(("head_width", "kind"), [(0, MLPField), (4, FactorisedField)])
def test_a_field_is_factorised_where_it_has_a_head(head_width, kind):
    config = FieldConfig(width=8, depth=2, head_width=head_width, num_frequencies=3)
    field = make_field(config, 2, 5, key=KEY)
    assert type(field) is kind and field.num_frequencies == 3
    assert field(jnp.zeros(2), jnp.array(0.5), jnp.ones(5)).shape == (2,)


def test_an_mlp_has_the_configured_layers():
    network = make_mlp(NetworkConfig(width=8, depth=3, use_layer_norm=False), 5, 2, key=KEY)
    assert [layer.out_features for layer in network.layers] == [8, 8, 8] and network.norms == []
    assert network(jnp.zeros(5)).shape == (2,)


def test_without_statistics_observations_are_taken_as_they_are():
    features = make_features(NetworkConfig(num_obs_frequencies=2), 3, None)
    assert features(jnp.array([1.0, -2.0, 3.0]))[:3].tolist() == [1.0, -2.0, 3.0] and features.size == 15


def test_common_units_keep_the_proportions_of_the_observations():
    statistics = jnp.array([1.0, 2.0, 3.0]), jnp.array([0.001, 0.5, 4.0])
    obs = jnp.array([1.1, 3.0, 5.0])
    for units, expected in (("each", [100.0, 2.0, 0.5]), ("common", [0.2, 2.0, 4.0])):
        features = make_features(NetworkConfig(width=4, depth=1, obs_units=units), 3, statistics)
        np.testing.assert_allclose(features(obs), expected, rtol=1e-5)
