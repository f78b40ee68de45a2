"""Selection rules against a softmax, their limits, and the checks of their weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from evor_eqx.agent import selection
from evor_eqx.errors import UserError

temperature = st.floats(0.05, 1000)


@given(st.lists(st.floats(-100, 0, width=32), min_size=1, max_size=16), temperature)
def test_candidate_weights_are_a_softmax_and_ignore_a_constant(value, tau_q):
    value = np.asarray(value, np.float32)
    expected = np.exp(value / tau_q - logsumexp(value / tau_q))
    np.testing.assert_allclose(selection.candidate_weights(jnp.asarray(value), tau_q), expected, atol=2e-3)
    np.testing.assert_allclose(selection.candidate_weights(jnp.asarray(value - 8), tau_q), expected, atol=4e-3)


def test_selection_limits_are_best_of_n_and_the_base_policy():
    value = jnp.array([-3.0, -1.0, -2.0])
    np.testing.assert_array_equal(selection.candidate_weights(value, 0.0), [0, 1, 0])
    np.testing.assert_allclose(selection.candidate_weights(value, jnp.inf), 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(selection.candidate_weights(jnp.array([-1.0, -1.0, -2.0]), 0.0), [0.5, 0.5, 0])
    np.testing.assert_array_equal(selection.candidate_weights(jnp.array([-7.0]), 0.5), [1])


def test_a_candidate_that_does_not_count_has_no_weight_at_any_temperature():
    value = jnp.array([-jnp.inf, -3.0, -1.0, -jnp.inf])
    for tau_q in (0.0, 0.3, 1e6, jnp.inf):
        weights = np.asarray(selection.candidate_weights(value, tau_q))
        assert weights[[0, 3]].tolist() == [0, 0]
        np.testing.assert_allclose(weights[1:3], selection.candidate_weights(value[1:3], tau_q), rtol=1e-6)
    np.testing.assert_allclose(selection.candidate_weights(value, jnp.inf), [0, 0.5, 0.5, 0])


def test_numpy_arrays_are_weighed_in_their_own_precision_over_the_last_axis():
    value = np.random.default_rng(0).normal(size=(4, 3, 7))
    found = selection.candidate_weights(value, 0.2)
    assert isinstance(found, np.ndarray) and found.dtype == np.float64
    np.testing.assert_allclose(found, softmax(value / 0.2, axis=-1), rtol=1e-12)
    np.testing.assert_array_equal(selection.candidate_weights(value, 0.0).argmax(axis=-1), value.argmax(axis=-1))
    np.testing.assert_allclose(selection.candidate_weights(value, np.inf), 1 / 7)


def test_values_at_minus_infinity_send_no_nan_into_the_gradient():
    gradient = jax.grad(lambda value: selection.candidate_weights(value, 0.5)[1])(jnp.array([-jnp.inf, -3.0, -1.0]))
    assert np.isfinite(gradient).all() and gradient[0] == 0


@pytest.mark.parametrize("tau_q", [0.0, 0.3, np.inf])
def test_a_rule_sees_the_candidates_that_count_and_the_others_get_nothing(tau_q):
    value, seen = jnp.array([-1.0, -2.0, 5.0, 7.0]), []

    def rule(value, tau_q):
        seen.append((value.tolist(), float(tau_q)))
        return jnp.full(4, 0.25)

    weights = selection.selection_weights(rule, value, tau_q, 2)
    assert weights.tolist() == [0.25, 0.25, 0, 0]
    assert seen == [([-1.0, -2.0, -np.inf, -np.inf], pytest.approx(tau_q))]
    ours = selection.selection_weights(selection.candidate_weights, value, tau_q, jnp.array(2))
    np.testing.assert_allclose(ours, [*selection.candidate_weights(value[:2], tau_q), 0, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "named"),
    [
        ([0.5, 0.4], "sum of 0.9"),
        ([1.5, -0.5], "smallest weight of -0.5"),
        ([np.nan, 1.0], "sum of nan"),
        ([np.inf, 0.0], "sum of nan"),
        ([[0.5, 0.5], [0.5, 0.6]], "sum of 1.1"),
    ],
)
def test_weights_that_are_none_are_refused_with_their_reason(weights, named):
    with pytest.raises(UserError, match=rf"{named}.*expected finite, non-negative weights that sum to 1"):
        selection.check_weights(np.array(weights))


def test_weights_pass_the_check_up_to_rounding():
    selection.check_weights(np.array([0.25, 0.75]))
    selection.check_weights(np.array([[1.0, 0.0], [0.50004, 0.5]]))


def test_a_capacity_holds_its_count_and_is_no_larger_than_it_must_be():
    assert [selection.capacity(num) for num in (1, 8, 9, 16, 17, 64, 65)] == [8, 8, 16, 16, 32, 64, 128]
