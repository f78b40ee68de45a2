"""Backups of the best draw against loops over draws and members, and on a process whose values are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics.test_baselines import KEY, OTHER_KEY, critic_of, example_of

from evor_eqx import distributions
from evor_eqx.bench import flops
from evor_eqx.config import TrainConfig
from evor_eqx.critics.base import FEW_ATOMS_AND_STEPS, ReturnScale
from evor_eqx.critics.ensemble import pick
from evor_eqx.training import loop
from evor_eqx.types import Batch

COMBINE = {"mean": np.mean, "min": np.min}
WIDE = ReturnScale(*map(jnp.asarray, (1.0, 2.0, -40.0, 40.0)))  # nothing is clipped


def example_with(draws):
    return eqx.tree_at(lambda e: e.next_draws, example_of(0.2), jnp.asarray(draws))


@eqx.filter_jit
def loss_of(critic, target, example):
    """The loss of a batch of one: what is chosen is chosen for a whole batch."""
    return loop.batch_loss(critic, target, jax.tree.map(lambda leaf: leaf[None], example), key=KEY)


@eqx.filter_jit
def member_values(critic, obs, chunk):
    """What each member says of a chunk, in units of the model."""
    cond = jnp.concatenate([critic.inputs.features(obs), chunk])
    return [pick(critic.network.networks, i)(cond)[0] for i in range(critic.network.num_members)]


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
def test_a_flow_chooses_the_draw_whose_law_has_the_highest_mean_of_all_in_a_loop(combine):
    critic = critic_of("flow", scale=WIDE, num_members=2, combine=combine)
    draws = np.random.default_rng(0).normal(size=(6, 5, 1)).astype(np.float32)
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(example_with, draws))
    law = eqx.filter_jit(lambda member, obs, chunk: member.law(obs, chunk, *FEW_ATOMS_AND_STEPS))
    chosen, places = critic.choose(batch), []
    for example, next_chunk, of_example in zip(range(6), chosen.next_chunk, draws, strict=True):
        means = []
        for draw in map(jnp.asarray, of_example):
            atoms = [np.sort(law(critic.member(i), batch.next_obs[example], draw).atoms) for i in range(2)]
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
def test_law_is_one_atom_that_the_members_agree_on(combine):
    critic, example = critic_of("best_of_n", num_members=2, combine=combine), example_of()
    law = critic.law(example.obs, example.chunk, 16, 10)
    assert law.weights.tolist() == [1.0]
    expected = 1.0 + 2.0 * COMBINE[combine](member_values(critic, example.obs, example.chunk))
    assert law.atoms.tolist() == pytest.approx([expected], rel=1e-4)


class Fork(eqx.Module):
    """Two states, acts -1 and 1 by a fair coin, nothing else is left to chance.

    At state 0, -1 ends the task and 1 leads to state 1, both for nothing; state 1 ends it and pays the act. gamma 0.9,
    so the chunk 1 at state 0 is worth 0.9 times what state 1 is.
    """

    draws: jax.Array | None  # the bank's acts, at either state, if batches hold them all

    def sample(self, batch_size, *, key):
        """A batch with uniform states and acts."""
        state, act, next_act = jax.random.bernoulli(key, shape=(3, batch_size)).astype(jnp.float32)
        return Batch(
            obs=jnp.stack([1 - state, state], axis=1),
            chunk=2 * act[:, None] - 1,
            reward=state * (2 * act - 1),
            discount=jnp.full(batch_size, 0.9),
            mask=(1 - state) * act,
            valid=jnp.ones(batch_size, bool),
            next_obs=jnp.tile(jnp.array([0.0, 1.0]), (batch_size, 1)),
            next_chunk=2 * next_act[:, None] - 1,
            mc_return=jnp.zeros(batch_size),
            next_draws=None if self.draws is None else jnp.tile(self.draws[:, None], (batch_size, 1, 1)),
        )


def learned_on_fork(critic, draws=(-1.0, 1.0)):
    """The critic after a short training on `Fork`."""
    config = TrainConfig(400, batch_size=64, learning_rate=1e-2, decay=True, ema_rate=0.05, log_every=200)
    sampler = Fork(None if draws is None else jnp.asarray(draws))
    return loop.fit(critic, sampler, sampler, config, loop.Memory(), key=KEY)


def value_of_the_way_on(critic):
    """Of the chunk 1 at state 0."""
    return float(distributions.mean(critic.law(jnp.array([1.0, 0.0]), jnp.ones(1), 16, 10)))


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
