"""Quantile regression: its loss against a loop, its minimisers against numpy and the normal distribution."""

import jax.numpy as jnp
import numpy as np
import pytest
from critics.examples import KEY, OTHER_KEY, critic_of, example_of
from scipy.stats import norm

from evor_eqx.critics.quantile import KAPPA, quantile_huber_loss
from evor_eqx.distributions import mid_levels


def naive_loss(predicted, levels, targets, kappa):
    total = 0.0
    for q, level in zip(predicted, levels, strict=True):
        for z in targets:
            d = z - q
            huber = d**2 / 2 if abs(d) <= kappa else kappa * (abs(d) - kappa / 2)
            scaled = abs(d) if kappa == 0 else huber / kappa
            total += abs(level - (d < 0)) * scaled
    return total / (len(predicted) * len(targets))


@pytest.mark.parametrize("kappa", [0.0, 0.01, 1.0])
def test_loss_equals_the_loop(kappa):
    rng = np.random.default_rng(0)
    predicted, targets = rng.normal(size=5), rng.normal(size=7)
    levels = (np.arange(5) + 0.5) / 5
    found = quantile_huber_loss(*(jnp.asarray(a, jnp.float32) for a in (predicted, levels, targets)), kappa)
    assert float(found) == pytest.approx(naive_loss(predicted, levels, targets, kappa), rel=1e-5)


def minimiser(level, targets, kappa, candidates):
    levels = jnp.array([level])
    losses = [quantile_huber_loss(jnp.array([q]), levels, jnp.asarray(targets), kappa) for q in candidates]
    return float(candidates[int(np.argmin(losses))])


@pytest.mark.parametrize("level", [0.05, 0.31, 0.5, 0.93])
def test_pinball_loss_is_least_at_the_quantile(level):
    """The loss is piecewise linear with kinks at the targets, so one of these is a minimiser."""
    targets = np.random.default_rng(1).normal(size=31).astype(np.float32)
    expected = np.quantile(targets, level, method="inverted_cdf")
    assert minimiser(level, targets, 0.0, targets) == pytest.approx(float(expected))


def test_the_paper_s_kappa_would_pull_the_quantiles_of_a_unit_normal_to_its_mean():
    targets = norm.ppf((np.arange(2000) + 0.5) / 2000).astype(np.float32)
    grid = np.linspace(0.5, 1.6, 111, dtype=np.float32)  # steps of 0.01
    truth = norm.ppf(0.9)
    assert minimiser(0.9, targets, KAPPA, grid) == pytest.approx(truth, abs=0.02)
    assert minimiser(0.9, targets, 1.0, grid) < truth - 0.1


def test_mid_levels_are_those_of_least_wasserstein_distance():
    """Against all other levels on a grid: K = 2 atoms for the uniform distribution, W_1 = int |F^-1(u) - q(u)| du."""
    np.testing.assert_allclose(mid_levels(4), [0.125, 0.375, 0.625, 0.875])
    u, grid = (np.arange(1000) + 0.5) / 1000, np.linspace(0, 1, 41)
    distances = [np.mean(np.abs(u - np.where(u < 0.5, a, b))) for a in grid for b in grid]
    best = np.unravel_index(np.argmin(distances), (41, 41))
    np.testing.assert_allclose(grid[list(best)], mid_levels(2), atol=1e-6)


def test_the_critic_s_loss_compares_every_quantile_with_every_backed_up_one():
    critic, target, example = critic_of("qr_dqn"), critic_of("qr_dqn", OTHER_KEY), example_of(reward=0.2)
    own = np.asarray(critic.distribution(example.obs, example.chunk, 1, 1).atoms)
    backup = 0.2 + 0.9 * np.asarray(target.distribution(example.next_obs, example.next_chunk, 1, 1).atoms)
    expected = naive_loss((own - 1) / 2, (np.arange(51) + 0.5) / 51, (np.clip(backup, -4, 4) - 1) / 2, KAPPA)
    assert float(critic.loss(target, example, key=KEY)[0]) == pytest.approx(expected, rel=1e-4)
