"""Exact distributions and regularised optima against closed forms, plain simulation, linear algebra and direct
maximisation."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from evor_eqx import distributions
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.errors import UserError
from evor_eqx.tabular import solution
from evor_eqx.tabular.processes import PROCESSES, Process, tabulate


@cache
def solved(name: str) -> solution.ExactDistributions:
    return solution.return_distributions(PROCESSES[name]())


def distance(found: solution.ExactDistributions, state: int, act: int, atoms, weights=None) -> float:
    """W_1 to another distribution, by scipy."""
    return scipy.stats.wasserstein_distance(found.atoms, atoms, found.weights[state, act], weights)


def cantor_function(x: np.ndarray) -> np.ndarray:
    """Ternary digits up to the first 1, read as binary with that 1 kept and each 2 halved."""
    value, weight, running = np.zeros_like(x), 0.5, np.ones_like(x, dtype=bool)
    for _ in range(40):
        x = 3 * x
        digit = np.minimum(np.floor(x), 2)
        value += weight * running * np.minimum(digit, 1)
        running &= digit != 1
        x, weight = x - digit, weight / 2
    return value


def area_between(found: solution.ExactDistributions, cdf) -> float:
    """Area between the distribution's CDF and a closed form: W_1. Midpoints of 16 parts of each step; off by a part at
    most."""
    step = found.atoms[1] - found.atoms[0]
    z = found.atoms[0] + step * (np.arange(16 * (len(found.atoms) - 1)) + 0.5) / 16
    return float(np.sum(np.abs(found.cdf(z)[0, 0] - cdf(z))) * step / 16)


@pytest.mark.parametrize("spacing", [None, 0.003, 0.05, 0.3])
@pytest.mark.parametrize(
    ("name", "cdf"), [("uniform", lambda z: z / 2), ("cantor", lambda z: cantor_function(np.clip(z / 1.5, 0, 1)))]
)
def test_the_stated_error_bounds_the_distance_to_the_closed_form(name, cdf, spacing):
    process = PROCESSES[name]()
    found = solution.return_distributions(process, spacing)
    step = found.atoms[1] - found.atoms[0]
    assert area_between(found, cdf) <= found.error + step / 16
    # Each projection moves atoms by at most half a step; stopping adds a hundredth of a step per backup.
    assert found.error <= 0.51 * step / (1 - process.gamma)


@pytest.mark.parametrize("name", PROCESSES)
def test_by_default_the_error_is_a_thousandth_of_the_range_and_the_distributions_are_distributions(name):
    found = solved(name)
    assert found.error <= 1e-3 * found.range
    assert found.weights.min() >= 0
    np.testing.assert_allclose(found.weights.sum(axis=-1), 1, atol=1e-9)
    np.testing.assert_allclose(found.state_distributions().sum(axis=-1), 1, atol=1e-9)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_mean_of_a_distribution_solves_the_linear_bellman_equation(name):
    process, (states, acts, outcomes) = PROCESSES[name](), PROCESSES[name]().prob.shape
    matrix, reward = np.eye(states * acts), np.zeros(states * acts)
    for s, a, o in np.ndindex(states, acts, outcomes):
        row, prob, next_state = s * acts + a, process.prob[s, a, o], process.next_state[s, a, o]
        reward[row] += prob * process.reward[s, a, o]
        for b in range(acts):
            matrix[row, next_state * acts + b] -= (
                process.gamma * process.mask[s, a, o] * prob * process.base_policy[next_state, b]
            )
    # Positions on the grid are rounded to 1e-9 of a step.
    np.testing.assert_allclose(solved(name).mean.ravel(), np.linalg.solve(matrix, reward), atol=1e-9)


def test_the_deviation_of_a_coin_and_of_a_uniform_distribution():
    np.testing.assert_allclose(solved("twins").deviation[:, 0], [0.0, 0.0, 0.9, 1.0], atol=2e-3)
    np.testing.assert_allclose(solved("uniform").deviation, 2 / np.sqrt(12), rtol=1e-3)


def test_the_bandits_distributions_are_its_two_atoms():
    found = solved("bandit")
    for act, (atoms, weights) in enumerate([([-1.0, 1.0], [0.3, 0.7]), ([-0.5, 0.8], [0.6, 0.4])]):
        np.testing.assert_allclose(found.distribution(0, act), (atoms, weights), atol=1e-12)
    expected = [[[0, 0.3, 0.3, 0.3, 1], [0, 0, 0.6, 1, 1]]]
    np.testing.assert_allclose(found.cdf(np.array([-2.0, -0.9, 0.0, 0.9, 1.0])), expected)
    assert found.range == pytest.approx(2.0) and found.error < 1e-12


@pytest.mark.parametrize("state", range(5))
def test_the_chains_distribution_is_that_of_a_negative_binomial_time(state):
    stays = np.arange(60)
    chance = scipy.stats.nbinom.pmf(stays, 5 - state, 0.7)
    last = 4 - state + stays  # the step that pays the prize
    costs = -(1 - 0.9**last) / 0.1
    atoms, weights = np.concatenate([costs + 4 * 0.9**last, costs - 4 * 0.9**last]), np.tile(chance / 2, 2)
    assert distance(solved("chain"), state, 0, atoms, weights) <= solved("chain").error


def test_twins_have_equal_means_and_different_distributions():
    found = solved("twins")
    np.testing.assert_allclose(found.mean, 0, atol=1e-9)
    assert distance(found, 0, 0, [0.0]) < 1e-9
    assert distance(found, 2, 0, [-0.9, 0.9], [0.5, 0.5]) < 1e-9
    assert scipy.stats.wasserstein_distance(found.atoms, found.atoms, *found.weights[[0, 2], 0]) == pytest.approx(0.9)


@pytest.mark.parametrize(("start", "act"), [((0, 0), 0), ((2, 1), 3), ((3, 2), 1)])
def test_the_gridworlds_distribution_is_that_of_a_plain_simulation(start, act):
    rng, num = np.random.default_rng(0), 3000
    turns = {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}
    returns = np.zeros(num)
    for walk in range(num):
        (row, column), chosen, steps = start, act, 0
        while (row, column) != (3, 3):
            slip = rng.random()
            down, right = turns[(chosen + (1 if slip < 0.1 else 3 if slip < 0.2 else 0)) % 4]
            row, column = min(max(row + down, 0), 3), min(max(column + right, 0), 3)
            chosen, steps = rng.choice(4, p=[0.15, 0.35, 0.35, 0.15]), steps + 1
        returns[walk] = -(1 - 0.95**steps) / (1 - 0.95)
    found, state = solved("gridworld"), 4 * start[0] + start[1]
    cdf = found.cdf(found.atoms)[state, act]
    # E W_1 of an empirical distribution is at most the area under sqrt(F (1 - F) / num); three times that is far in the
    # tail.
    noise = np.sum(np.sqrt(np.clip(cdf * (1 - cdf), 0, None) / num)) * (found.atoms[1] - found.atoms[0])
    assert distance(found, state, act, returns) < 3 * noise + found.error


def test_a_process_without_any_reward_has_a_point_as_its_distribution():
    nothing = tabulate("nothing", 0.9, lambda s, a: [(1.0, 0.0, 1.0, 0)], np.ones((1, 1)), np.zeros((1, 1)))
    found = solution.return_distributions(nothing)
    np.testing.assert_array_equal(found.distribution(0, 0), ([0.0], [1.0]))
    assert found.range == found.error == 0.0


def test_soft_values_of_distributions_agree_with_those_on_the_device():
    found = solved("corridor")
    distribution = ReturnDistribution(
        *(jnp.asarray(a, jnp.float32) for a in np.broadcast_arrays(found.atoms, found.weights))
    )
    for tau_r in (0.5, 3.0, 100.0):
        np.testing.assert_allclose(found.soft_value(tau_r), distributions.soft_value(distribution, tau_r), rtol=1e-4)


def test_the_return_scale_has_the_moments_of_the_distribution_over_states():
    scale = solution.return_scale(PROCESSES["uniform"]())
    np.testing.assert_allclose([scale.shift, scale.scale, scale.low, scale.high], [1, 2 / np.sqrt(12), 0, 2], rtol=1e-5)
    scale = solution.return_scale(PROCESSES["twins"](), solved("twins"))  # 0, 0, +-0.9, +-1, each state a quarter
    expected = [0, np.sqrt((0.81 + 1) / 4), -1, 1]
    np.testing.assert_allclose([scale.shift, scale.scale, scale.low, scale.high], expected, rtol=1e-5, atol=1e-6)


def tree() -> Process:
    """Two steps, no chance, three acts with unequal rewards in each of four states."""
    reward = np.random.default_rng(0).normal(size=(4, 3))
    policy = np.random.default_rng(1).dirichlet(np.ones(3), size=4)
    return tabulate(
        "tree",
        0.8,
        lambda state, act: [(1.0, reward[state, act], float(state == 0), act + 1 if state == 0 else 0)],
        policy,
        np.array([[-1.0], [0.0], [1.0]]),
    )


@pytest.mark.parametrize("tau_r", [0.05, 0.5, 5.0])
def test_without_chance_the_optimum_is_the_soft_value_over_enumerated_paths(tau_r):
    process = tree()
    policy, reward = process.base_policy, process.reward[..., 0]
    chance = [policy[0, a] * policy[a + 1, b] for a in range(3) for b in range(3)]
    returns = [reward[0, a] + 0.8 * reward[a + 1, b] for a in range(3) for b in range(3)]
    expected = tau_r * np.log(np.dot(chance, np.exp(np.array(returns) / tau_r)))
    optimum = solution.soft_optimal(process, tau_r)
    assert optimum.value[0] == pytest.approx(expected)
    # The policy's value by hand: reward and KL of both steps, the second at temperature tau_r / gamma.
    second = solution.soft_optimal(process, tau_r / 0.8).policy
    first = optimum.policy[0]
    kl = [np.sum(second[a] * np.log(second[a] / policy[a])) for a in range(4)]
    gains = [reward[0, a] + 0.8 * second[a + 1] @ reward[a + 1] - tau_r * kl[a + 1] for a in range(3)]
    value = first @ gains - tau_r * np.sum(first * np.log(first / policy[0]))
    assert value == pytest.approx(expected)


def maximised(process: Process, tau_r: float, num_steps: int) -> float:
    """Sum over start states of the objective, maximised over the policies of `num_steps` steps by gradient ascent."""
    states, acts = process.base_policy.shape
    reward = np.sum(process.prob * process.reward, axis=-1)
    onward = np.einsum("sao,saox->sax", process.prob * process.mask, np.eye(states)[process.next_state])
    base = np.einsum("sa,sax->sx", process.base_policy, onward)
    last = np.linalg.solve(np.eye(states) - process.gamma * base, np.sum(process.base_policy * reward, axis=1))

    def loss(logits):
        def step(carry, inputs):
            alive, discount = carry  # alive[start, state]: the chance to be there
            policy = jax.nn.softmax(inputs)
            kl = jnp.sum(policy * jnp.log(policy / process.base_policy), axis=1)
            gain = discount * jnp.sum(policy * reward, axis=1) - tau_r * kl
            return (alive @ jnp.einsum("sa,sax->sx", policy, onward), discount * process.gamma), jnp.sum(alive @ gain)

        carry = (jnp.eye(states), jnp.ones(()))
        (alive, discount), gains = jax.lax.scan(step, carry, logits.reshape(num_steps, states, acts))
        return -jnp.sum(gains) - discount * jnp.sum(alive @ last)

    gradient = jax.jit(jax.value_and_grad(loss))
    start = np.tile(np.log(process.base_policy), (num_steps, 1, 1)).ravel()
    result = scipy.optimize.minimize(
        lambda x: tuple(np.asarray(v, np.float64) for v in gradient(x)), start, jac=True, method="L-BFGS-B"
    )
    return -float(result.fun)


@pytest.mark.parametrize("tau_r", [0.1, 0.5])
def test_with_chance_the_optimum_is_what_direct_maximisation_over_policies_finds(tau_r):
    process = PROCESSES["lottery"]()
    # After 60 steps all that the tilt can still add is (high - low)^2 gamma^120 / (8 tau_r) < 5e-5 (Hoeffding).
    found, expected = maximised(process, tau_r, 60), solution.soft_optimal(process, tau_r).value.sum()
    assert expected - 1e-3 < found < expected + 1e-4  # float32, and where the ascent stops


@pytest.mark.parametrize("share", [0.02, 0.1, 1.0])
def test_optimism_is_nought_without_chance_and_positive_with_it(share):
    for name in PROCESSES:
        found = solved(name)
        optimism = solution.optimism(found.process, share * found.range, found)
        assert optimism.min() > -1e-9 * found.range, name
    found = solved("corridor")
    assert solution.optimism(found.process, share * found.range, found).max() < 1e-3 * found.range
    found = solved("lottery")
    optimism = solution.optimism(found.process, share * found.range, found)
    tau_r = share * 3.0  # at the right exit: a prize of 3 with probability 0.1, in one step, and no choice left
    expected = 3 + tau_r * np.log(0.1 + 0.9 * np.exp(-3 / tau_r)) - 0.3
    assert optimism[4, 1] == pytest.approx(expected, rel=1e-6)
    assert optimism[0, 0] < 1e-6  # the left exit pays at once and for sure
    assert np.delete(optimism.ravel(), 0).min() > 1e-4 * found.range


def test_the_lotterys_distribution_lures_the_soft_value_to_the_wrong_exit():
    found = solved("lottery")
    assert np.argmax(solution.soft_optimal(found.process, 0.1).q[2]) == 0
    assert np.argmax(found.soft_value(0.1)[2]) == 1


@pytest.mark.parametrize("name", PROCESSES)
def test_a_large_temperature_gives_the_base_policy_and_its_value(name):
    process = PROCESSES[name]()
    optimum = solution.soft_optimal(process, 1e5)  # off by the variance / (2 tau_r)
    np.testing.assert_allclose(optimum.q, solved(name).mean, atol=1e-3)
    np.testing.assert_allclose(optimum.policy, process.base_policy, atol=1e-3)


def test_a_small_temperature_gives_the_best_return_where_nothing_is_left_to_chance():
    tau_r, state = 1e-3, np.arange(5)
    best = np.maximum(0.9**state, 3 * 0.9 ** (4 - state))
    optimum = solution.soft_optimal(PROCESSES["corridor"](), tau_r)
    # The best path has at least the probability 0.4^5, so it costs at most tau_r log(1 / 0.4^5).
    assert (optimum.value <= best + 1e-9).all() and (optimum.value >= best + tau_r * np.log(0.4**5) - 1e-9).all()
    np.testing.assert_allclose(optimum.policy[:, 1], 1.0, atol=1e-6)


def test_acts_that_the_base_policy_never_takes_stay_untaken():
    process = tabulate(
        "never", 0.9, lambda s, a: [(1.0, 5.0 * a, 0.0, 0)], np.array([[1.0, 0.0]]), np.array([[-1.0], [1.0]])
    )
    optimum = solution.soft_optimal(process, 0.01)
    np.testing.assert_allclose(optimum.policy, [[1.0, 0.0]])
    np.testing.assert_allclose([optimum.value[0], *optimum.q[0]], [0.0, 0.0, 5.0], atol=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: solution.return_distributions(PROCESSES["bandit"](), spacing=0.0),
        lambda: solution.return_distributions(PROCESSES["bandit"](), spacing=float("nan")),
        lambda: solution.soft_optimal(PROCESSES["bandit"](), 0.0),
        lambda: solution.soft_optimal(PROCESSES["bandit"](), float("inf")),
        lambda: solved("bandit").soft_value(-1.0),
        lambda: solution.optimism(PROCESSES["bandit"](), float("nan"), solved("bandit")),
    ],
)
def test_bad_input_is_a_user_error(call):
    with pytest.raises(UserError, match="expected"):
        call()
