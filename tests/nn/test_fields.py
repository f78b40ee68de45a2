"""Both velocity fields: encoding once, and what the velocity depends on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.nn.fields import FactorisedField, MLPField

KEY = jax.random.key(0)
FIELDS = {
    "mlp": MLPField(2, 5, width=16, depth=2, use_layer_norm=True, key=KEY),
    "factorised": FactorisedField(2, 5, width=16, depth=2, head_width=8, use_layer_norm=True, key=KEY),
    "mlp, Fourier": MLPField(2, 5, width=16, depth=2, use_layer_norm=True, num_frequencies=3, key=KEY),
    "factorised, Fourier": FactorisedField(
        2, 5, width=16, depth=2, head_width=8, use_layer_norm=True, num_frequencies=3, key=KEY
    ),
    "mlp, waves of the state": MLPField(2, 5, width=16, depth=2, use_layer_norm=True, num_state_frequencies=3, key=KEY),
    "factorised, waves of the state": FactorisedField(
        2, 5, width=16, depth=2, head_width=8, use_layer_norm=True, num_state_frequencies=3, key=KEY
    ),
}


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
