"""Backups of the best draw against loops over draws and members, and on a process whose values are known."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics.examples import (
    BEST,
    KEY,
    OTHER_KEY,
    WIDE,
    critic_of,
    example_of,
    learned_on_fork,
    loss_of,
    member_values,
    value_of_the_way_on,
)

from evor_eqx.bench import flops
from evor_eqx.critics.next_draw import ATOMS_AND_STEPS

COMBINE = {"mean": np.mean, "min": np.min}


def example_with(draws):
    return dataclasses.replace(example_of(0.2), next_draws=jnp.asarray(draws), choose=BEST)


def naive_backup(critic, target, example, combine):
    """The target network's value of the draw that the trained one likes best, found by a loop; and its place."""
    best, best_value = None, -np.inf
    for place, draw in enumerate(example.next_draws):
        value = COMBINE[combine](member_values(critic, example.next_obs, draw))
        if value > best_value:
            best, best_value = place, value
    worth = COMBINE[combine](member_values(target, example.next_obs, example.next_draws[best]))
    return 0.2 + 0.9 * (1.0 + 2.0 * worth), best


@pytest.mark.parametrize("combine", COMBINE)
def test_backup_is_the_targets_value_of_the_best_draw_in_a_loop(combine):
    critic, target = (critic_of("best_of_n", key, WIDE, 2, combine) for key in (KEY, OTHER_KEY))
    places = []
    for draws in np.random.default_rng(0).normal(size=(4, 5, 1)).astype(np.float32):
        example = example_with(draws)
        _, metrics = loss_of(critic, target, example)
        expected, place = naive_backup(critic, target, example, combine)
        assert float(metrics["target_return"]) == pytest.approx(expected, rel=1e-5)
        places.append(place == naive_backup(target, target, example, combine)[1])
    assert not all(places)  # in some examples the target network itself would have chosen another draw


@pytest.mark.parametrize("combine", COMBINE)
def test_a_flow_chooses_the_draw_whose_distribution_has_the_highest_mean_of_all_in_a_loop(combine):
    critic = critic_of("flow", scale=WIDE, num_members=2, combine=combine)
    draws = np.random.default_rng(0).normal(size=(6, 5, 1)).astype(np.float32)
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(example_with, draws))
    distribution = eqx.filter_jit(lambda member, obs, chunk: member.distribution(obs, chunk, *ATOMS_AND_STEPS["mean"]))
    chosen, places = BEST(critic, batch, key=KEY), []
    for example, next_chunk, of_example in zip(range(6), chosen.next_chunk, draws, strict=True):
        means = []
        for draw in map(jnp.asarray, of_example):
            atoms = [np.sort(distribution(critic.member(i), batch.next_obs[example], draw).atoms) for i in range(2)]
            means.append(np.mean(COMBINE[combine](atoms, axis=0)))
        places.append(int(np.argmax(means)))
        assert next_chunk.tolist() == of_example[places[-1]].tolist()
    assert len(set(places)) > 1
    np.testing.assert_array_equal(chosen.chunk, batch.chunk)


def test_with_itself_as_target_the_backup_is_the_maximum_over_the_draws():
    critic, example = critic_of("best_of_n", scale=WIDE, num_members=2), example_with(np.linspace(-2, 2, 5)[:, None])
    values = [np.mean(member_values(critic, example.next_obs, draw)) for draw in example.next_draws]
    _, metrics = loss_of(critic, critic, example)
    assert float(metrics["target_return"]) == pytest.approx(0.2 + 0.9 * (1.0 + 2.0 * max(values)), rel=1e-5)


def test_every_member_learns_the_same_backup():
    critic, target = (critic_of("best_of_n", key, WIDE, 2) for key in (KEY, OTHER_KEY))
    example = example_with([[-1.0], [0.5]])
    loss, metrics = loss_of(critic, target, example)
    backup = (metrics["target_return"] - 1.0) / 2.0
    errors = np.array(member_values(critic, example.obs, example.chunk)) - backup
    np.testing.assert_allclose(loss, np.mean(errors**2), rtol=1e-4)


def test_a_draw_costs_one_pass_forward_and_no_gradient():
    critic = critic_of("best_of_n", num_members=2)
    gradient = eqx.filter_grad(lambda own, example: loss_of(own, critic, example)[0])
    cost = [flops.count(gradient, critic, example_with(jnp.zeros((num, 1)))) for num in (4, 5)]
    assert cost[1] - cost[0] == 2 * 2 * (3 * 32 + 32 * 32 + 32)  # members, multiply and add, three layers of 32 units


@pytest.mark.parametrize("combine", COMBINE)
def test_distribution_is_one_atom_that_the_members_agree_on(combine):
    critic, example = critic_of("best_of_n", num_members=2, combine=combine), example_of()
    distribution = critic.distribution(example.obs, example.chunk, 16, 10)
    assert distribution.weights.tolist() == [1.0]
    expected = 1.0 + 2.0 * COMBINE[combine](member_values(critic, example.obs, example.chunk))
    assert distribution.atoms.tolist() == pytest.approx([expected], rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "draws", "expected"),
    [
        ("best_of_n", (-1.0, 1.0), 0.9),  # the optimum: 0.9 times the better act's prize
        ("best_of_n", (-1.0, -1.0), -0.9),  # the optimum over the draws, which are all bad
        ("flow", (-1.0, 1.0), 0.9),
        ("flow", None, 0.0),  # of the base policy, to whom both acts are the same
        ("qr_dqn", (-1.0, 1.0), 0.9),
        ("scalar", None, 0.0),
    ],
)
def test_training_finds_the_optimum_over_all_draws_and_without_them_the_base_policys_value(kind, draws, expected):
    learned = learned_on_fork(critic_of(kind, num_members=2), draws)
    assert value_of_the_way_on(learned) == pytest.approx(expected, abs=0.05)
