"""C51's projection and HL-Gauss's histogram against loops, worked examples and scipy; the checks of their support."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics.examples import critic_of, example_of
from scipy.stats import norm

from evor_eqx.critics.base import ReturnScale
from evor_eqx.critics.categorical import PADDING, check_support, gaussian_histogram, make_support, project, spacing
from evor_eqx.errors import UserError


def scale_of(low, high):
    return ReturnScale(*map(jnp.asarray, (-20.0, 10.0, low, high)))


def naive_projection(atoms, weights, support):
    """Algorithm 1 of the C51 paper, atom by atom."""
    found, width = np.zeros(len(support)), support[1] - support[0]
    for atom, weight in zip(atoms, weights, strict=True):
        position = (np.clip(atom, support[0], support[-1]) - support[0]) / width
        lower, upper = int(np.floor(position)), int(np.ceil(position))
        if lower == upper:
            found[lower] += weight
        else:
            found[lower] += weight * (upper - position)
            found[upper] += weight * (position - lower)
    return found


def random_distribution(seed, low, high, num=31):
    rng = np.random.default_rng(seed)
    return rng.uniform(low, high, num).astype(np.float32), rng.dirichlet(np.ones(num)).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_projection_equals_the_loop(seed):
    atoms, weights = random_distribution(seed, -13.0, 13.0)  # some are clipped
    support = np.linspace(-10, 10, 21, dtype=np.float32)
    np.testing.assert_allclose(
        project(*map(jnp.asarray, (atoms, weights, support))), naive_projection(atoms, weights, support), atol=1e-6
    )


@pytest.mark.parametrize(
    ("atoms", "weights", "support", "expected"),
    [
        # By hand: -3 is clipped to 0; 0.25 gives 3/4 of its 0.4 to 0 and 1/4 to 1; 2 stays.
        ([-3.0, 0.25, 2.0], [0.1, 0.4, 0.5], [0.0, 1.0, 2.0], [0.4, 0.1, 0.5]),
        # Values of the tests of Dopamine's project_distribution (tests/dopamine/agents/rainbow/rainbow_agent_test.py).
        ([0, 1, 2, 3, 4], [0.1, 0.2, 0.1, 0.3, 0.3], [3, 4, 5, 6, 7], [0.7, 0.3, 0.0, 0.0, 0.0]),
        ([0, 2, 4, 6, 8], [0.1, 0.2, 0.2, 0.2, 0.3], [0, 4, 8, 12, 16], [0.2, 0.4, 0.4, 0.0, 0.0]),
    ],
)
def test_projection_of_worked_examples(atoms, weights, support, expected):
    arrays = (jnp.asarray(values, jnp.float32) for values in (atoms, weights, support))
    np.testing.assert_allclose(project(*arrays), expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_projection_keeps_the_mass_and_where_nothing_is_clipped_the_mean(seed):
    support = jnp.linspace(-10.0, 10.0, 21)
    for limit in (9.9, 30.0):
        atoms, weights = map(jnp.asarray, random_distribution(seed, -limit, limit))
        projected = project(atoms, weights, support)
        assert float(projected.sum()) == pytest.approx(1.0, abs=1e-5)
        mean = jnp.sum(jnp.clip(atoms, -10, 10) * weights)
        np.testing.assert_allclose(jnp.sum(projected * support), mean, atol=1e-4)


def test_c51_backs_up_its_own_distribution():
    """At gamma m = 0.9 and reward 0.2, the atoms z of the next distribution move to 0.2 + 0.9 z, clipped to [-4, 4]."""
    critic, example = critic_of("c51"), example_of(reward=0.2)
    distribution = critic.distribution(example.next_obs, example.next_chunk, 8, 10)
    expected = naive_projection(
        0.2 + 0.9 * np.asarray(distribution.atoms), np.asarray(distribution.weights), np.asarray(distribution.atoms)
    )
    np.testing.assert_allclose(critic.backup(example), expected, atol=1e-5)


@pytest.mark.parametrize("value", [-3.0, 0.1, 2.9, 3.0])
def test_histogram_equals_scipy_between_the_edges(value):
    support, sigma = jnp.linspace(-3.0, 3.0, 13), 0.4
    edges = np.linspace(-3.25, 3.25, 14)
    mass = np.diff(norm.cdf(edges, value, sigma))
    found = gaussian_histogram(jnp.asarray(value), support, sigma)
    np.testing.assert_allclose(found, mass / mass.sum(), atol=1e-6)


@pytest.mark.parametrize("value", [-100.0, -99.0, -41.37, -0.5, 0.0])
def test_hl_gauss_recovers_any_possible_value_even_at_the_ends(value):
    scale = scale_of(-100.0, 0.0)
    support = make_support(scale, 51, PADDING)
    weights = gaussian_histogram(scale.to_unit(jnp.asarray(value)), support, 0.75 * spacing(support))
    # 4 of the Gaussian's standard deviations fit behind the ends; the range is 10 units, its float32 rounding 1e-5.
    assert float(scale.to_return(jnp.sum(weights * support))) == pytest.approx(value, abs=1e-3)


def test_without_padding_the_ends_of_the_support_would_be_biased():
    """A value at the end keeps only the part of its Gaussian above -0.5 bins; its mean by scipy."""
    support = jnp.linspace(0.0, 50.0, 51)
    mean = float(jnp.sum(gaussian_histogram(jnp.asarray(0.0), support, 0.75) * support))
    bins = np.diff(norm.cdf(np.arange(-0.5, 51.0), scale=0.75))
    assert mean == pytest.approx(np.sum(bins * np.arange(51)) / bins.sum(), abs=1e-4)
    assert mean == pytest.approx(0.37, abs=0.01)  # as the module's docstring says


def test_support_spans_the_possible_returns_evenly():
    scale = scale_of(-100.0, 0.0)
    returns = scale.to_return(make_support(scale, 51))
    np.testing.assert_allclose(returns, np.linspace(-100, 0, 51), atol=1e-4)
    padded = scale.to_return(make_support(scale, 51, PADDING))
    np.testing.assert_allclose(padded, np.linspace(-106, 6, 51), atol=1e-4)  # three times 2 beyond


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (1.0, -1.0), (-np.inf, 0.0), (0.0, np.nan)])
def test_an_empty_or_infinite_range_is_one_clear_error(low, high):
    with pytest.raises(UserError, match=f"range of returns is {low} to {high}.*low < high"):
        check_support(np.zeros(3), low, high)
    for kind in ("c51", "hl_gauss"):
        with pytest.raises(UserError, match="range of returns"):
            critic_of(kind, scale=scale_of(low, high))
        with pytest.raises(UserError, match=r"-3.4.*e\+38 to 3.4.*e\+38.*give the scale of the data"):
            critic_of(kind, scale=None)


@pytest.mark.parametrize("bad", [-100.1, 0.01, np.nan])
def test_a_recorded_return_outside_the_support_is_named(bad):
    check_support(np.array([-100.0, -3.0, 0.0]), -100.0, 0.0)
    with pytest.raises(UserError, match=rf"1 of 3 .*{bad}.*-100.0 to 0.0.*return_statistics"):
        check_support(np.array([-100.0, bad, 0.0]), -100.0, 0.0)


def test_categorical_critics_can_be_made_side_by_side():
    """Several seeds by vmap: the check of the range must not see a tracer."""
    critics = eqx.filter_vmap(lambda key: critic_of("c51", key))(jax.random.split(jax.random.key(0), 3))
    assert critics.support.shape == (3, 51)
