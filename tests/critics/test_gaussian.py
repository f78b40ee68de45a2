"""The Gaussian critic: its cross-entropy against an integral, its minimiser against moment matching."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics.examples import critic_of, example_of
from scipy.integrate import quad
from scipy.stats import norm

from evor_eqx.critics.gaussian import STD_FLOOR, cross_entropy


def entropy_of(*moments):
    return float(cross_entropy(*map(jnp.asarray, moments)))


@pytest.mark.parametrize("moments", [(0.0, 1.0, 0.0, 1.0), (0.5, 0.3, -0.2, 0.7), (-1.0, 2.0, 1.0, 0.1)])
def test_cross_entropy_is_the_integral_of_its_definition(moments):
    mean, std, target_mean, target_std = moments
    integral, _ = quad(
        lambda z: -norm.pdf(z, target_mean, target_std) * norm.logpdf(z, mean, std),
        target_mean - 10 * target_std,
        target_mean + 10 * target_std,
    )
    assert entropy_of(*moments) == pytest.approx(integral - np.log(2 * np.pi) / 2, rel=1e-4)


def test_cross_entropy_with_a_mixture_is_least_at_the_mixtures_moments():
    means, stds = jnp.array([-2.0, 0.5, 1.0]), jnp.array([0.1, 0.4, 1.5])
    mean = jnp.mean(means)
    std = jnp.sqrt(jnp.mean(stds**2 + (means - mean) ** 2))

    def loss(own):
        return jnp.mean(jax.vmap(lambda m, s: cross_entropy(*own, m, s))(means, stds))

    np.testing.assert_allclose(jax.grad(loss)((mean, std)), 0.0, atol=1e-6)
    for step in (-0.1, 0.1):
        assert loss((mean + step, std)) > loss((mean, std))
        assert loss((mean, std + step)) > loss((mean, std))


def with_outputs(critic, mean, log_excess):
    """The critic whose network says the same everywhere."""
    output = jax.tree.map(jnp.zeros_like, critic.network.output)
    output = eqx.tree_at(lambda layer: layer.bias, output, jnp.array([mean, log_excess]))
    return eqx.tree_at(lambda c: c.network.output, critic, output)


def test_distribution_holds_the_mid_quantiles_in_units_of_return():
    distribution = with_outputs(critic_of("gaussian"), 0.25, np.log(0.5)).distribution(jnp.ones(2), jnp.zeros(1), 8, 10)
    expected = 1 + 2 * norm.ppf((np.arange(8) + 0.5) / 8, 0.25, 0.5 + STD_FLOOR)  # shift 1, scale 2
    np.testing.assert_allclose(distribution.atoms, expected, rtol=1e-5)


@pytest.mark.parametrize("mask", [0.0, 1.0])
def test_backup_scales_the_spread_and_moves_the_mean(mask):
    mean, std = with_outputs(critic_of("gaussian"), 0.25, np.log(0.5)).backup(example_of(0.3, mask))
    assert float(std) == pytest.approx(0.9 * mask * (0.5 + STD_FLOOR))
    assert float(mean) == pytest.approx((0.3 + 0.9 * mask * (1 + 2 * 0.25) - 1) / 2)


def test_a_sure_return_does_not_make_the_loss_diverge():
    """The reward alone, mask 0: the narrowest distribution is at the floor, where the loss is log(floor)."""
    critic = with_outputs(critic_of("gaussian"), 0.0, -1e3)
    loss, _ = critic.loss(critic, example_of(reward=1.0, mask=0.0), key=jax.random.key(0))
    assert float(loss) == pytest.approx(np.log(STD_FLOOR))
