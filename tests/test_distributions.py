"""Means, soft values and quantiles of distributions against closed forms, limits and other libraries."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import kstest, norm, wasserstein_distance

from evor_eqx import distributions
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.errors import UserError

returns = st.lists(st.floats(-100, 0, width=32), min_size=1, max_size=16)
temperature = st.floats(0.05, 1000)


def distribution_of(atoms, weights=None):
    atoms = jnp.asarray(atoms, jnp.float32)
    return ReturnDistribution(atoms, jnp.full(len(atoms), 1 / len(atoms)) if weights is None else jnp.asarray(weights))


@given(returns, temperature)
def test_soft_value_is_tau_log_mean_exp(atoms, tau_r):
    expected = tau_r * (logsumexp(np.asarray(atoms) / tau_r) - np.log(len(atoms)))
    # float32 keeps 7 digits of returns up to 100.
    assert float(distributions.soft_value(distribution_of(atoms), tau_r)) == pytest.approx(expected, abs=2e-4)


@given(returns)
def test_limits_are_mean_and_maximum(atoms):
    distribution = distribution_of(atoms)
    assert float(distributions.soft_value(distribution, jnp.inf)) == pytest.approx(np.mean(atoms), abs=1e-4)
    assert float(distributions.soft_value(distribution, 1e6)) == pytest.approx(np.mean(atoms), abs=3e-3)
    assert float(distributions.soft_value(distribution, 0.0)) == pytest.approx(max(atoms), abs=1e-5)
    # log N / tau is what is left of the maximum's weight.
    assert float(distributions.soft_value(distribution, 1e-3)) == pytest.approx(max(atoms), abs=4e-3)


@given(returns, temperature, temperature)
def test_soft_value_falls_as_tau_r_grows(atoms, first, second):
    low, high = sorted((first, second))
    assert (
        float(distributions.soft_value(distribution_of(atoms), low))
        >= float(distributions.soft_value(distribution_of(atoms), high)) - 1e-4
    )


@given(st.floats(-100, 0, width=32), temperature)
def test_a_deterministic_return_is_its_own_soft_value(value, tau_r):
    assert float(distributions.soft_value(distribution_of([value] * 8), tau_r)) == pytest.approx(value, abs=1e-4)


def test_atoms_of_weight_zero_do_not_count():
    distribution = distribution_of([-5.0, 0.0], [1.0, 0.0])
    for tau_r in (0.0, 0.1, 10.0, jnp.inf):
        assert float(distributions.soft_value(distribution, tau_r)) == pytest.approx(-5.0)


@given(st.lists(st.floats(-100, 0, width=32), min_size=1, max_size=16), st.integers(1, 8))
def test_mid_quantiles_of_equal_weights_are_those_of_numpy(atoms, num):
    levels = (np.arange(num) + 0.5) / num
    expected = np.quantile(np.asarray(atoms, np.float32), levels, method="inverted_cdf")
    found = np.asarray(distributions.mid_quantiles(distribution_of(atoms), num))
    # A level on a step of the distribution function may fall to either side.
    steps = np.abs(levels * len(atoms) - np.round(levels * len(atoms))) < 1e-4
    assert np.allclose(found[~steps], expected[~steps])
    assert np.isin(found, np.asarray(atoms, np.float32)).all()


@given(st.lists(st.tuples(st.floats(-100, 0, width=32), st.integers(0, 9)), min_size=1, max_size=12), st.integers(1, 9))
def test_quantile_means_are_those_of_atoms_repeated_by_their_weight(pairs, num):
    atoms, counts = (np.asarray(values) for values in zip(*pairs, strict=True))
    counts[0] += 1
    expected = np.repeat(np.sort(atoms), num * counts[np.argsort(atoms, kind="stable")]).reshape(num, -1).mean(axis=1)
    found = distributions.quantile_means(distribution_of(atoms, np.asarray(counts / counts.sum(), np.float32)), num)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_as_many_equal_weights_are_their_own_quantile_means():
    atoms = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    found = distributions.quantile_means(ReturnDistribution(jnp.asarray(atoms), jnp.full((5, 16), 1 / 16)), 16)
    np.testing.assert_array_equal(found, np.sort(atoms, axis=-1))  # nothing is lost, not even a digit


def test_a_small_weight_on_the_largest_atom_is_not_lost():
    """float32 rounds 1 - 1e-9 to 1; tau_R log(1e-9 e^(1 / tau_R) + 1) is 0.7928 at tau_R = 0.01."""
    distribution = distribution_of([0.0, 1.0], [1 - 1e-9, 1e-9])
    for tau_r in (0.01, 0.03, 0.1, 1.0):
        expected = tau_r * np.log1p(1e-9 * np.expm1(1 / tau_r))
        assert float(distributions.soft_value(distribution, tau_r)) == pytest.approx(expected, abs=1e-6)


def test_mid_quantiles_follow_the_weights():
    distribution = distribution_of([3.0, 1.0, 2.0], [0.5, 0.25, 0.25])
    assert distributions.mid_quantiles(distribution, 4).tolist() == [1.0, 2.0, 3.0, 3.0]
    assert distributions.mid_quantiles(distribution_of([3.0, 1.0, 2.0]), 3).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("atoms", "weights", "named"),
    [
        ([], [], "no atoms"),
        ([1.0, np.inf], [0.5, 0.5], "inf"),
        ([np.nan], [1.0], "nan"),
        ([1.0, 2.0], [1.5, -0.5], "-0.5"),
        ([1.0, 2.0], [np.nan, 1.0], "nan"),
        ([1.0, 2.0], [0.5, 0.4], "sum to 0.9"),
        ([1.0, 2.0], [1.0], "one for each atom"),
    ],
)
def test_what_is_no_distribution_is_refused_with_its_reason(atoms, weights, named):
    with pytest.raises(UserError, match=named):
        distributions.check_distribution(np.array(atoms), np.array(weights))


def test_a_distribution_and_a_batch_of_distributions_pass_the_check():
    distributions.check_distribution(np.array([-5.0, 0.0]), np.array([1.0, 0.0]))
    distributions.check_distribution(np.zeros(1001), np.full(1001, 1 / 1001, np.float32))
    weights = np.full((3, 2), 0.5)
    distributions.check_distribution(np.zeros((3, 2)), weights)
    weights[1, 0] = 0.0
    with pytest.raises(UserError, match="sum to"):
        distributions.check_distribution(np.zeros((3, 2)), weights)


def test_crps_of_a_gaussian_is_its_closed_form():
    """sigma (s (2 Phi(s) - 1) + 2 phi(s) - 1 / sqrt(pi)), s the standardised return (Gneiting and Raftery 2007)."""
    atoms = -3 + 2 * norm.ppf((np.arange(1000) + 0.5) / 1000)
    for z in (-3.0, -8.0, 0.5):
        s = (z + 3) / 2
        expected = 2 * (s * (2 * norm.cdf(s) - 1) + 2 * norm.pdf(s) - 1 / np.sqrt(np.pi))
        assert float(distributions.crps(distribution_of(atoms), jnp.asarray(z))) == pytest.approx(expected, abs=5e-3)
    assert float(distributions.crps(distribution_of([-3.0]), jnp.asarray(1.0))) == 4.0


def test_equal_weights_are_one_over_the_number_of_atoms():
    atoms = jnp.arange(15.0).reshape(3, 5)
    found = ReturnDistribution.of_equal_weights(atoms)
    np.testing.assert_array_equal(found.atoms, atoms)
    np.testing.assert_allclose(found.weights, np.full((3, 5), 0.2), rtol=1e-7)
    distributions.check_distribution(found.atoms, found.weights)


def test_mid_levels_halve_each_of_equal_parts_in_either_precision():
    expected = [(index + 0.5) / 7 for index in range(7)]
    assert distributions.mid_levels(7, np).tolist() == expected
    np.testing.assert_allclose(distributions.mid_levels(7), expected, rtol=1e-6)


def test_levels_draw_in_proportion_to_the_weights():
    weights = jnp.array([0.1, 0.0, 0.6, 0.3])
    levels = jax.random.uniform(jax.random.key(0), (20_000,))
    draws = jax.vmap(lambda level: distributions.at_level(weights, level))(levels)
    # The standard error of a frequency is at most 0.5 / sqrt(2e4) = 0.0035.
    np.testing.assert_allclose(np.bincount(draws, minlength=4) / 20_000, weights, atol=0.015)
    assert 1 not in np.asarray(draws)


def test_wasserstein_1_is_the_closed_form_for_points_and_shifts():
    found = distributions.wasserstein_1(np.array([0.0, 1.0]), np.array([0.25, 0.75]), np.array([0.0]))
    assert found == pytest.approx(0.75)
    samples = np.random.default_rng(4).normal(size=64)
    assert distributions.wasserstein_1(samples + 0.3, np.full(64, 1 / 64), samples) == pytest.approx(0.3)


def test_wasserstein_1_is_the_cost_of_the_best_matching():
    rng = np.random.default_rng(5)
    atoms, samples = rng.normal(size=5), rng.normal(size=5)
    naive = min(np.abs(atoms - np.array(order)).mean() for order in itertools.permutations(samples))
    assert distributions.wasserstein_1(atoms, np.full(5, 0.2), samples) == pytest.approx(naive)


ATOMS, HALVES = np.array([0.0, 1.0]), np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("weights", "samples"),
    [
        (np.array([0.5, 0.6]), np.ones(2)),
        (np.array([1.5, -0.5]), np.ones(2)),
        (HALVES, np.array([])),
        (HALVES, np.array([1.0, np.nan])),
    ],
)
def test_wasserstein_1_of_what_is_no_distribution_or_no_samples_is_a_user_error(weights, samples):
    with pytest.raises(UserError, match="expected"):
        distributions.wasserstein_1(ATOMS, weights, samples)


def test_the_mean_of_quantile_distances_is_scipys_w1_up_to_the_distance_of_levels():
    rng = np.random.default_rng(6)
    atoms, weights = rng.normal(size=(3, 20)).astype(np.float32), rng.dirichlet(np.ones(20), 3).astype(np.float32)
    returns = np.sort(rng.normal(size=(3, 500)).astype(np.float32), axis=1)
    found = distributions.quantile_distances(
        ReturnDistribution(jnp.asarray(atoms), jnp.asarray(weights)), jnp.asarray(returns)
    )
    expected = [wasserstein_distance(a, z, w) for a, z, w in zip(atoms, returns, weights, strict=True)]
    # Each of the 20 jumps of the quantile function is read up to half a level of 1 / 500 away.
    np.testing.assert_allclose(jnp.mean(found, axis=-1), expected, atol=20 * 4 / 1000)
    same = ReturnDistribution.of_equal_weights(jnp.asarray(returns[:, ::-1]))
    np.testing.assert_allclose(
        jnp.mean(distributions.quantile_distances(same, jnp.asarray(returns + 0.5))), 0.5, rtol=1e-5
    )


def test_pit_at_an_atom_is_the_middle_of_its_jump():
    atoms, weights = np.tile([0.0, 1.0, 3.0], (4, 1)), np.tile([0.2, 0.5, 0.3], (4, 1))
    samples = jnp.array([-1.0, 1.0, 2.0, 9.0])
    found = distributions.pit(ReturnDistribution(jnp.asarray(atoms), jnp.asarray(weights)), samples)
    np.testing.assert_allclose(found, [0.0, 0.2 + 0.25, 0.7, 1.0], rtol=1e-6)


def test_pit_of_a_right_distribution_is_uniform_and_tells_narrow_ones_from_wide_ones():
    samples = np.random.default_rng(6).normal(size=500).astype(np.float32)
    coverage = []
    for scale in (0.5, 1.0, 2.0):
        atoms = np.tile(scale * norm.ppf((np.arange(256) + 0.5) / 256), (500, 1))
        found = distributions.pit(ReturnDistribution.of_equal_weights(jnp.asarray(atoms)), jnp.asarray(samples))
        coverage.append(np.mean(np.abs(np.asarray(found) - 0.5) <= 0.4))
        assert (kstest(np.asarray(found), "uniform").pvalue > 1e-3) == (scale == 1.0)
    assert coverage[0] < 0.6 < 0.7 < coverage[1] < 0.9 < coverage[2]
