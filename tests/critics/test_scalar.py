"""The scalar critic's loss against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics.examples import KEY, OTHER_KEY, SCALE, critic_of, example_of

from evor_eqx import distributions


@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_loss_is_the_squared_error_in_units_of_the_scale(mask):
    critic, target, example = critic_of("scalar"), critic_of("scalar", OTHER_KEY), example_of(0.2, mask)
    predicted = distributions.mean(critic.distribution(example.obs, example.chunk, 1, 1))
    backup = 0.2 + 0.9 * mask * distributions.mean(target.distribution(example.next_obs, example.next_chunk, 1, 1))
    loss, _ = critic.loss(target, example, key=KEY)
    np.testing.assert_allclose(loss, ((predicted - backup) / SCALE.scale) ** 2, rtol=1e-4)


def test_distribution_is_one_atom_however_many_are_asked_for():
    distribution = critic_of("scalar").distribution(jnp.ones(2), jnp.zeros(1), 16, 10)
    assert distribution.atoms.shape == (1,)
    assert distribution.weights.tolist() == [1.0]
    for tau_r in (0.0, 1.0, jnp.inf):
        assert float(distributions.soft_value(distribution, tau_r)) == pytest.approx(
            float(distribution.atoms[0]), abs=1e-6
        )


def test_loss_takes_no_randomness():
    critic = critic_of("scalar")
    losses = [critic.loss(critic, example_of(), key=key)[0] for key in jax.random.split(KEY)]
    assert losses[0] == losses[1]
