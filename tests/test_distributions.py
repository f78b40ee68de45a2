"""Means, soft values and quantiles of laws against closed forms, limits and other libraries."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm

from evor_eqx import distributions
from evor_eqx.distributions import ReturnLaw
from evor_eqx.errors import UserError

returns = st.lists(st.floats(-100, 0, width=32), min_size=1, max_size=16)
temperature = st.floats(0.05, 1000)


def law_of(atoms, weights=None):
    atoms = jnp.asarray(atoms, jnp.float32)
    return ReturnLaw(atoms, jnp.full(len(atoms), 1 / len(atoms)) if weights is None else jnp.asarray(weights))


@given(returns, temperature)
def test_soft_value_is_tau_log_mean_exp(atoms, tau_r):
    expected = tau_r * (logsumexp(np.asarray(atoms) / tau_r) - np.log(len(atoms)))
    # float32 keeps 7 digits of returns up to 100.
    assert float(distributions.soft_value(law_of(atoms), tau_r)) == pytest.approx(expected, abs=2e-4)


@given(returns)
def test_limits_are_mean_and_maximum(atoms):
    law = law_of(atoms)
    assert float(distributions.soft_value(law, jnp.inf)) == pytest.approx(np.mean(atoms), abs=1e-4)
    assert float(distributions.soft_value(law, 1e6)) == pytest.approx(np.mean(atoms), abs=3e-3)
    assert float(distributions.soft_value(law, 0.0)) == pytest.approx(max(atoms), abs=1e-5)
    # log N / tau is what is left of the maximum's weight.
    assert float(distributions.soft_value(law, 1e-3)) == pytest.approx(max(atoms), abs=4e-3)


@given(returns, temperature, temperature)
def test_soft_value_falls_as_tau_r_grows(atoms, first, second):
    low, high = sorted((first, second))
    assert (
        float(distributions.soft_value(law_of(atoms), low))
        >= float(distributions.soft_value(law_of(atoms), high)) - 1e-4
    )


@given(st.floats(-100, 0, width=32), temperature)
def test_a_deterministic_return_is_its_own_soft_value(value, tau_r):
    assert float(distributions.soft_value(law_of([value] * 8), tau_r)) == pytest.approx(value, abs=1e-4)


def test_atoms_of_weight_zero_do_not_count():
    law = law_of([-5.0, 0.0], [1.0, 0.0])
    for tau_r in (0.0, 0.1, 10.0, jnp.inf):
        assert float(distributions.soft_value(law, tau_r)) == pytest.approx(-5.0)


@given(st.lists(st.floats(-100, 0, width=32), min_size=1, max_size=16), st.integers(1, 8))
def test_mid_quantiles_of_equal_weights_are_those_of_numpy(atoms, num):
    levels = (np.arange(num) + 0.5) / num
    expected = np.quantile(np.asarray(atoms, np.float32), levels, method="inverted_cdf")
    found = np.asarray(distributions.mid_quantiles(law_of(atoms), num))
    # A level on a step of the distribution function may fall to either side.
    steps = np.abs(levels * len(atoms) - np.round(levels * len(atoms))) < 1e-4
    assert np.allclose(found[~steps], expected[~steps])
    assert np.isin(found, np.asarray(atoms, np.float32)).all()


@given(st.lists(st.tuples(st.floats(-100, 0, width=32), st.integers(0, 9)), min_size=1, max_size=12), st.integers(1, 9))
def test_quantile_means_are_those_of_atoms_repeated_by_their_weight(pairs, num):
    atoms, counts = (np.asarray(values) for values in zip(*pairs, strict=True))
    counts[0] += 1
    expected = np.repeat(np.sort(atoms), num * counts[np.argsort(atoms, kind="stable")]).reshape(num, -1).mean(axis=1)
    found = distributions.quantile_means(law_of(atoms, np.asarray(counts / counts.sum(), np.float32)), num)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_as_many_equal_weights_are_their_own_quantile_means():
    atoms = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    found = distributions.quantile_means(ReturnLaw(jnp.asarray(atoms), jnp.full((5, 16), 1 / 16)), 16)
    np.testing.assert_array_equal(found, np.sort(atoms, axis=-1))  # nothing is lost, not even a digit


def test_a_small_weight_on_the_largest_atom_is_not_lost():
    """float32 rounds 1 - 1e-9 to 1; tau_R log(1e-9 e^(1 / tau_R) + 1) is 0.7928 at tau_R = 0.01."""
    law = law_of([0.0, 1.0], [1 - 1e-9, 1e-9])
    for tau_r in (0.01, 0.03, 0.1, 1.0):
        expected = tau_r * np.log1p(1e-9 * np.expm1(1 / tau_r))
        assert float(distributions.soft_value(law, tau_r)) == pytest.approx(expected, abs=1e-6)


def test_mid_quantiles_follow_the_weights():
    law = law_of([3.0, 1.0, 2.0], [0.5, 0.25, 0.25])
    assert distributions.mid_quantiles(law, 4).tolist() == [1.0, 2.0, 3.0, 3.0]
    assert distributions.mid_quantiles(law_of([3.0, 1.0, 2.0]), 3).tolist() == [1.0, 2.0, 3.0]


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
def test_what_is_no_law_is_refused_with_its_reason(atoms, weights, named):
    with pytest.raises(UserError, match=named):
        distributions.check_law(np.array(atoms), np.array(weights))


def test_a_law_and_a_batch_of_laws_pass_the_check():
    distributions.check_law(np.array([-5.0, 0.0]), np.array([1.0, 0.0]))
    distributions.check_law(np.zeros(1001), np.full(1001, 1 / 1001, np.float32))
    weights = np.full((3, 2), 0.5)
    distributions.check_law(np.zeros((3, 2)), weights)
    weights[1, 0] = 0.0
    with pytest.raises(UserError, match="sum to"):
        distributions.check_law(np.zeros((3, 2)), weights)


def test_crps_of_a_gaussian_is_its_closed_form():
    """sigma (s (2 Phi(s) - 1) + 2 phi(s) - 1 / sqrt(pi)), s the standardised return (Gneiting and Raftery 2007)."""
    atoms = -3 + 2 * norm.ppf((np.arange(1000) + 0.5) / 1000)
    for z in (-3.0, -8.0, 0.5):
        s = (z + 3) / 2
        expected = 2 * (s * (2 * norm.cdf(s) - 1) + 2 * norm.pdf(s) - 1 / np.sqrt(np.pi))
        assert float(distributions.crps(law_of(atoms), jnp.asarray(z))) == pytest.approx(expected, abs=5e-3)
    assert float(distributions.crps(law_of([-3.0]), jnp.asarray(1.0))) == 4.0
