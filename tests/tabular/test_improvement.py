"""Policies that choose among draws, exactly: against a loop over all draws, simulation, limits and the optimum."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from evor_eqx.errors import UserError
from evor_eqx.presets import tabular_preset
from evor_eqx.tabular import benchmark
from evor_eqx.tabular.improvement import (
    decision_policy,
    divergence,
    improved_distributions,
    learned_distributions,
    performance,
)
from evor_eqx.tabular.processes import bandit, corridor, gridworld, lottery
from evor_eqx.tabular.solution import return_distributions, soft_optimal


@pytest.mark.parametrize("num_draws", [1, 2, 3])
@pytest.mark.parametrize("tau_q", [0.0, 0.3, 5.0])
def test_a_decision_is_the_mean_over_all_ordered_draws_of_their_softmax(num_draws, tau_q):
    process = gridworld()
    values = np.random.default_rng(0).normal(size=process.base_policy.shape)
    policy = decision_policy(process, values, num_draws, tau_q)
    for base, value, found in zip(process.base_policy[:3], values[:3], policy[:3], strict=True):
        expected = np.zeros(4)
        for draws in itertools.product(range(4), repeat=num_draws):
            drawn = value[list(draws)]
            weights = softmax(drawn / tau_q) if tau_q else (drawn == drawn.max()) / np.sum(drawn == drawn.max())
            np.add.at(expected, list(draws), np.prod(base[list(draws)]) * weights)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_one_draw_and_an_infinite_temperature_leave_the_base_policy():
    process = corridor()
    values = np.random.default_rng(0).normal(size=process.base_policy.shape)
    np.testing.assert_allclose(decision_policy(process, values, 1, 0.0), process.base_policy)
    np.testing.assert_allclose(decision_policy(process, values, 5, 1e9), process.base_policy, atol=1e-8)


def test_many_draws_tend_to_the_softmax_of_the_base_policy():
    process, tau_q = corridor(), 0.7
    values = np.random.default_rng(0).normal(size=process.base_policy.shape)
    limit = softmax(np.log(process.base_policy) + values / tau_q, axis=1)
    apart = [np.abs(decision_policy(process, values, num, tau_q) - limit).max() for num in (10, 100, 1000)]
    assert apart[0] > 5 * apart[1] > 25 * apart[2]


@pytest.mark.parametrize("make", [bandit, corridor, lottery])
@pytest.mark.parametrize(("tau_r", "tau_q"), [(math.inf, 0.0), (math.inf, 0.2), (0.5, 0.2)])
def test_the_improved_distributions_are_those_of_the_policy_that_they_lead_to(make, tau_r, tau_q):
    process = make()
    found = improved_distributions(process, 4, tau_r, tau_q)
    values = found.mean if math.isinf(tau_r) else found.soft_value(tau_r)
    policy = decision_policy(process, values, 4, tau_q)
    np.testing.assert_allclose(policy, found.process.base_policy, atol=1e-6)
    again = return_distributions(replace(process, base_policy=policy))
    np.testing.assert_allclose(found.mean, again.mean, atol=1e-4)
    assert (performance(process, policy) >= performance(process, process.base_policy) - 1e-6).all() or make is lottery


def test_best_of_many_draws_is_the_shortest_way():
    """From cell c the right exit, which pays 3, is 5 - c steps away, the left one, which pays 1, c + 1 steps."""
    found = improved_distributions(corridor(), 64, math.inf, 0.0)
    expected = [max(3 * 0.9 ** (4 - cell), 0.9**cell) for cell in range(5)]
    np.testing.assert_allclose(np.max(found.mean, axis=1), expected, atol=1e-6)


@pytest.mark.parametrize("make", [bandit, corridor, lottery, gridworld])
@pytest.mark.parametrize("num_draws", [1, 8])
def test_no_decision_is_better_than_the_regularised_optimum(make, num_draws):
    process = make()
    exact = return_distributions(process)
    tau = 0.1 * exact.range
    best = soft_optimal(process, tau).value
    for tau_q in (0.0, 0.5 * tau, tau):
        policy = decision_policy(process, exact.soft_value(tau), num_draws, tau_q)
        gap = best - (performance(process, policy) - tau * divergence(process, policy))
        assert gap.min() > -1e-6 * exact.range
    assert divergence(process, process.base_policy) == pytest.approx(0, abs=1e-9)


def test_a_chance_that_nobody_can_take_is_preferred_if_the_tail_counts_inside_the_backup_too():
    """Lottery: the right exit pays less on average; soft values at a low temperature lead there, means do not."""
    process = lottery()
    by_mean = improved_distributions(process, 16, math.inf, 0.05)
    by_tail = improved_distributions(process, 16, 0.2, 0.05)
    returns = [performance(process, found.process.base_policy)[1] for found in (by_mean, by_tail)]
    assert returns[0] > 1.2 * returns[1]


def test_a_policy_that_never_rests_is_refused(monkeypatch):
    monkeypatch.setattr("evor_eqx.tabular.improvement._MOST_ROUNDS", 1)
    with pytest.raises(UserError, match=r"policy of corridor: still changes by .* raise tau_q, which is 0\.1"):
        improved_distributions(corridor(), 4, math.inf, 0.1)


@pytest.mark.parametrize("next_draw", ["best", "soft"])
def test_a_critic_whose_backups_choose_only_every_n_steps_is_refused(next_draw):
    def check(n_step, next_draw):
        config = tabular_preset("smoke", num_bank_draws=4, n_step=n_step, next_draw=next_draw).critic
        learned_distributions(bandit(), config)

    for n_step in (2, 50):
        check(n_step, "any")  # the base policy's distribution, whatever n is
        with pytest.raises(UserError, match=rf"n_step is {n_step} with next_draw '{next_draw}': expected 1"):
            check(n_step, next_draw)
    check(1, next_draw)


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{"next_draw": "best"}, {"next_draw": "soft", "next_tau_r": 1.0, "next_tau_q": 0.3}])
def test_a_flow_whose_backups_choose_learns_the_improved_distribution(home, fields):
    config = tabular_preset("laptop", critic="flow", target="coupled", num_bank_draws=4, **fields).critic
    config = replace(config, train=replace(config.train, num_updates=600, batch_size=32))
    trained = benchmark.ensure_tabular_critics("corridor", config, 2)
    measured = benchmark.ExactAnswers.of(trained.exact)(trained.critics)
    plain = benchmark.ExactAnswers.of(return_distributions(corridor()))(trained.critics)
    assert np.max(measured["w1"]) < 0.05 < 0.15 < np.min(plain["w1"])
