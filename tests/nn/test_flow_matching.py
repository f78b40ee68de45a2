"""Flow matching against closed forms, an ODE library and a naive loop."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy.stats import norm

from evor_eqx.nn import flow_matching


def gaussian_velocity(mean, std):
    """The exact velocity of the straight-line flow from N(0, 1) to N(mean, std^2).

    (x_0, x_1) are independent, x_t is Gaussian, and v(x, t) = E[x_1 - x_0 | x_t = x] is linear in x.
    """

    def velocity(x, t):
        variance = (1 - t) ** 2 + (t * std) ** 2
        return mean + (t * std**2 - (1 - t)) / variance * (x - t * mean)

    return velocity


def test_path_starts_at_noise_and_ends_at_data():
    x_0, x_1 = jnp.array([1.0, -2.0]), jnp.array([3.0, 5.0])
    np.testing.assert_array_equal(flow_matching.interpolate(x_0, x_1, jnp.array(0.0)), x_0)
    np.testing.assert_array_equal(flow_matching.interpolate(x_0, x_1, jnp.array(1.0)), x_1)


def test_velocity_is_the_time_derivative_of_the_path():
    x_0, x_1 = jnp.array([1.0, -2.0]), jnp.array([3.0, 5.0])
    slope = jax.jacfwd(lambda t: flow_matching.interpolate(x_0, x_1, t))(jnp.array(0.3))
    np.testing.assert_allclose(slope, x_1 - x_0, rtol=1e-6)


def test_integration_agrees_with_diffrax_euler_on_a_nonlinear_field():
    def velocity(x, t):
        return jnp.sin(3 * x) + t

    x_0 = jnp.linspace(-2, 2, 7)
    term = diffrax.ODETerm(lambda t, x, args: velocity(x, t))
    reference = diffrax.diffeqsolve(term, diffrax.Euler(), 0.0, 1.0, 0.1, x_0)
    np.testing.assert_allclose(flow_matching.euler(velocity, x_0, 10), reference.ys[0], rtol=1e-5)


def test_integration_reaches_the_gaussian_that_its_field_was_derived_from():
    noise = flow_matching.mid_quantile_noise(101)
    x_1 = flow_matching.euler(gaussian_velocity(-30.0, 4.0), noise, 2_000)
    # Euler's error is first order: 2000 steps leave about 1e-3 of the standard deviation.
    np.testing.assert_allclose(x_1, -30.0 + 4.0 * noise, atol=0.02)


def test_adams_is_second_order_on_a_smooth_field():
    """Against Tsit5 at a tolerance of 1e-8: four times the steps, about a sixteenth of the error."""

    def velocity(x, t):
        return jnp.sin(3 * x) + t

    x_0 = jnp.linspace(-2, 2, 7)
    term = diffrax.ODETerm(lambda t, x, args: velocity(x, t))
    control = diffrax.PIDController(rtol=1e-7, atol=1e-7)
    exact = diffrax.diffeqsolve(term, diffrax.Tsit5(), 0.0, 1.0, 0.01, x_0, stepsize_controller=control).ys[0]
    coarse, fine = (float(jnp.abs(flow_matching.adams(velocity, x_0, num) - exact).max()) for num in (10, 40))
    assert fine < coarse / 8
    assert coarse < float(jnp.abs(flow_matching.euler(velocity, x_0, 10) - exact).max()) / 2


@pytest.mark.parametrize("solver", flow_matching.SOLVERS.values())
def test_integration_stops_where_it_is_told(solver):
    """x' = 1 + 0 x: every method is exact on a constant field."""
    x = solver.integrate(lambda x, t: jnp.ones(1), jnp.zeros(1), 7, jnp.array(0.3))
    np.testing.assert_allclose(x, 0.3, rtol=1e-6)


@pytest.mark.parametrize("solver", flow_matching.SOLVERS.values())
def test_training_times_are_as_dense_as_the_solver_s_steps(solver):
    levels = (jnp.arange(20_000) + 0.5) / 20_000
    visited = []
    with jax.disable_jit():
        solver.integrate(lambda x, t: (visited.append(float(t)), x)[1], jnp.zeros(1), 10)
    drawn = np.asarray(jax.vmap(solver.time)(levels))
    np.testing.assert_allclose([(drawn < t).mean() for t in visited], np.arange(10) / 10, atol=1e-3)


def two_point_velocity(low, high, share):
    """The straight-line field from N(0, 1) to `low` with probability `share`, else `high`."""

    def velocity(x, t):
        logits = (
            jnp.log(jnp.array([share, 1 - share])) - (x[:, None] - t * jnp.array([low, high])) ** 2 / 2 / (1 - t) ** 2
        )
        return (jax.nn.softmax(logits) @ jnp.array([low, high]) - x) / (1 - t)

    return velocity


def test_adams_places_two_atoms_better_than_euler_at_the_same_cost():
    """The field is exact, so all of the error is the integrator's: W_1 as a share of the atoms' distance."""
    noise = flow_matching.mid_quantile_noise(100)
    velocity, truth = two_point_velocity(-1.5, 0.7, 0.3), np.where(np.arange(100) < 30, -1.5, 0.7)
    euler, adams = (
        np.abs(np.sort(f(velocity, noise, 10)) - truth).mean() / 2.2 for f in (flow_matching.euler, flow_matching.adams)
    )
    assert adams < 0.005
    assert adams < euler / 2


def test_number_of_steps_may_be_an_array_without_recompiling():
    num_traces = 0

    @jax.jit
    def run(num_steps):
        nonlocal num_traces
        num_traces += 1
        return flow_matching.euler(lambda x, t: x, jnp.ones(1), num_steps)

    for num_steps in (1, 5, 50):
        # Euler on x' = x gives (1 + 1/K)^K.
        np.testing.assert_allclose(run(jnp.array(num_steps)), (1 + 1 / num_steps) ** num_steps, rtol=1e-5)
    assert num_traces == 1


def test_regression_loss_never_broadcasts():
    with pytest.raises((ValueError, TypeCheckError)):  # the second where annotations are checked, as in these tests
        flow_matching.regression_loss(jnp.zeros(3), jnp.zeros(1))


def test_mid_quantile_noise_has_scipy_quantiles():
    np.testing.assert_allclose(flow_matching.mid_quantile_noise(8), norm.ppf((np.arange(8) + 0.5) / 8), atol=1e-5)


def test_minimiser_of_the_flow_loss_is_the_conditional_mean_velocity():
    """Least squares on the exact regressors of the Gaussian case recovers the closed-form velocity at t = 0.5."""
    mean, std, t = 2.0, 0.5, 0.5
    x_0 = jax.random.normal(jax.random.key(0), (200_000,))
    x_1 = mean + std * jax.random.normal(jax.random.key(1), (200_000,))
    x_t = flow_matching.interpolate(x_0, x_1, jnp.array(t))
    slope, intercept = np.polyfit(np.asarray(x_t), np.asarray(x_1 - x_0), 1)
    exact = gaussian_velocity(mean, std)
    # Monte-Carlo error of both coefficients is about 1 / sqrt(2e5) = 0.002.
    assert intercept == pytest.approx(float(exact(0.0, t)), abs=0.02)
    assert slope == pytest.approx(float(exact(1.0, t) - exact(0.0, t)), abs=0.02)
