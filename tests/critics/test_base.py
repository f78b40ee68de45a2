"""What every critic owes: a target, a valid distribution, a checkpoint, and the right answer on a tiny problem."""

import functools
import io

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics.examples import KEY, OTHER_KEY, WIDE, critic_of, example_of
from scipy.stats import wasserstein_distance

from evor_eqx import distributions
from evor_eqx.config import TrainConfig
from evor_eqx.critics.base import ReturnScale
from evor_eqx.critics.registry import critic_config, critic_names
from evor_eqx.training import update
from evor_eqx.types import Batch

BASELINES = [kind for kind in critic_names() if kind != "flow"]
IMPROVERS = [kind for kind in critic_names() if critic_config(kind).is_improver]
OF_NEXT_CHUNK = [kind for kind in BASELINES if kind != "expectile"]  # it backs up the value of the next state instead
DISTRIBUTIONAL = ["c51", "qr_dqn", "iqn"]
NUM_ATOMS = 51  # the default


def target_return(critic, target, example):
    """The mean over many keys: the levels of `iqn` are random."""
    keys = jax.random.split(KEY, 500)
    return float(jnp.mean(jax.vmap(lambda key: critic.loss(target, example, key=key)[1]["target_return"])(keys)))


@pytest.mark.parametrize("kind", BASELINES)
def test_loss_depends_on_the_target_network_and_sends_it_no_gradient(kind):
    critic, other = critic_of(kind), critic_of(kind, OTHER_KEY)

    def loss(target):
        return critic.loss(target, example_of(), key=KEY)[0]

    assert all((leaf == 0).all() for leaf in jax.tree.leaves(eqx.filter_grad(loss)(other)))
    assert loss(other) != loss(critic)


@pytest.mark.parametrize("kind", OF_NEXT_CHUNK)
def test_where_the_task_ends_nothing_is_bootstrapped(kind):
    critic, other, example = critic_of(kind), critic_of(kind, OTHER_KEY), example_of(mask=0.0)
    losses = [float(critic.loss(target, example, key=KEY)[0]) for target in (critic, other)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("kind", BASELINES)
def test_only_networks_are_trained(kind):
    critic = critic_of(kind)
    gradient = eqx.filter_grad(lambda own: own.loss(critic, example_of(), key=KEY)[0])(critic)
    for name, part in vars(gradient).items():
        assert any((leaf != 0).any() for leaf in jax.tree.leaves(part)) == name.endswith("network")


@pytest.mark.parametrize("kind", OF_NEXT_CHUNK)
def test_target_is_the_reward_plus_the_discounted_mean_of_the_next_distribution(kind):
    critic, target = (critic_of(kind, key, WIDE) for key in (KEY, OTHER_KEY))
    example = example_of(reward=0.5)
    expected = 0.5 + 0.9 * float(distributions.mean(target.distribution(example.next_obs, example.next_chunk, 512, 1)))
    # The 500 times 8 random levels of iqn leave an error of the distribution's spread / sqrt(4000).
    assert target_return(critic, target, example) == pytest.approx(expected, abs=0.02 if kind == "iqn" else 1e-4)


@pytest.mark.parametrize("kind", BASELINES)
@pytest.mark.parametrize(("reward", "expected"), [(-1.7, -1.7), (4.0, 4.0), (100.0, 4.0), (-100.0, -4.0)])
def test_where_the_task_ends_the_target_is_the_reward_within_the_possible_range(kind, reward, expected):
    critic = critic_of(kind)
    _, metrics = critic.loss(critic, example_of(reward, mask=0.0), key=KEY)
    assert float(metrics["target_return"]) == pytest.approx(expected, abs=1e-3)
    assert all(jnp.shape(value) == () for value in metrics.values())


@pytest.mark.parametrize("kind", BASELINES)
def test_distribution_is_valid_and_has_the_promised_atoms(kind):
    obs, chunk = jnp.ones(2), jnp.zeros(1)
    distribution = critic_of(kind).distribution(obs, chunk, 8, 10)
    distributions.check_distribution(distribution.atoms, distribution.weights)
    promised = {"c51": NUM_ATOMS, "hl_gauss": NUM_ATOMS, "qr_dqn": NUM_ATOMS, "gaussian": 8, "iqn": 8}
    assert distribution.atoms.shape == (promised.get(kind, 1),)
    several = critic_of(kind, num_members=2).distribution(obs, chunk, 8, 10)
    distributions.check_distribution(several.atoms, several.weights)
    assert several.atoms.shape == ((1,) if kind in IMPROVERS else (8,))


@pytest.mark.parametrize("kind", [kind for kind in BASELINES if kind not in IMPROVERS])
@pytest.mark.parametrize("num_returns", [4, 16])
def test_an_ensemble_says_the_mean_of_what_its_members_say(kind, num_returns):
    """At any number of atoms, however a member's are weighted: draws differ by less than a histogram's atoms."""
    where = jnp.ones(2), jnp.zeros(1), num_returns, 10
    ensemble = critic_of(kind, num_members=2)
    members = [float(distributions.mean(ensemble.member(index).distribution(*where))) for index in range(2)]
    assert float(distributions.mean(ensemble.distribution(*where))) == pytest.approx(np.mean(members), abs=1e-5)


@pytest.mark.parametrize("kind", BASELINES)
@pytest.mark.parametrize("num_members", [1, 2])
def test_a_checkpoint_brings_back_network_scale_and_support(kind, num_members):
    critic, file = critic_of(kind, num_members=num_members), io.BytesIO()
    eqx.tree_serialise_leaves(file, critic)
    file.seek(0)
    other_scale = ReturnScale(*map(jnp.asarray, (0.0, 1.0, -1.0, 1.0)))
    blank = critic_of(kind, OTHER_KEY, scale=other_scale, num_members=num_members)
    found = eqx.tree_deserialise_leaves(file, blank).distribution(jnp.ones(2), jnp.zeros(1), 8, 10)
    expected = critic.distribution(jnp.ones(2), jnp.zeros(1), 8, 10)
    np.testing.assert_array_equal(found.atoms, expected.atoms)
    np.testing.assert_array_equal(found.weights, expected.weights)


def two_steps(batch_size, *, key):
    """State 0 pays 1 and leads to state 1 (gamma 1/2); state 1 ends the task and pays -2 (a quarter of times) or 2."""
    state_key, reward_key = jax.random.split(key)
    last = jax.random.bernoulli(state_key, shape=(batch_size,)).astype(jnp.float32)
    prize = jnp.where(jax.random.bernoulli(reward_key, 0.25, (batch_size,)), -2.0, 2.0)
    return Batch(
        obs=jnp.stack([1 - last, last], axis=1),
        chunk=jnp.zeros((batch_size, 1)),
        reward=jnp.where(last == 1, prize, 1.0),
        discount=jnp.full(batch_size, 0.5),
        mask=1 - last,
        valid=jnp.ones(batch_size, bool),
        next_obs=jnp.tile(jnp.array([0.0, 1.0]), (batch_size, 1)),
        next_chunk=jnp.zeros((batch_size, 1)),
        mc_return=jnp.zeros(batch_size),
        next_draws=jnp.zeros((batch_size, 1, 1)),
    )


# The distribution of `two_steps`: weights, and atoms by state.
WEIGHTS, ATOMS = np.array([0.25, 0.75]), np.array([[0.0, 2.0], [-2.0, 2.0]])


@pytest.fixture(scope="module")
def learned():
    """The distributions of both states of `two_steps` after a short training, by kind, each trained once."""
    config = TrainConfig(num_updates=1500, batch_size=64, learning_rate=3e-3, decay=True, ema_rate=0.02, log_every=500)

    @functools.cache
    def run(kind):
        return fit(critic_of(kind))

    @eqx.filter_jit
    def fit(critic):
        arrays, static = eqx.partition(update.init_state(critic, config), eqx.is_array)

        def body(arrays, key):
            batch_key, loss_key = jax.random.split(key)
            batch = two_steps(config.batch_size, key=batch_key)
            state, _ = update.update(eqx.combine(arrays, static), batch, config, key=loss_key)
            return eqx.filter(state, eqx.is_array), None

        arrays, _ = jax.lax.scan(body, arrays, jax.random.split(KEY, config.num_updates))
        return jax.vmap(lambda obs: eqx.combine(arrays, static).model.distribution(obs, jnp.zeros(1), 64, 10))(
            jnp.eye(2)
        )

    return run


@pytest.mark.parametrize("kind", BASELINES)
def test_training_finds_the_mean(kind, learned):
    # Means of 1.5 and 1. What is left is noise: iqn, the noisiest, is up to 0.1 off over three seeds.
    np.testing.assert_allclose(distributions.mean(learned(kind)), ATOMS @ WEIGHTS, atol=0.2)


def test_training_finds_the_standard_deviation_of_a_gaussian(learned):
    atoms = np.asarray(learned("gaussian").atoms)
    expected = np.sqrt((ATOMS - (ATOMS @ WEIGHTS)[:, None]) ** 2 @ WEIGHTS)  # 0.87 and 1.73
    # 64 mid-quantiles of a Gaussian have 0.99 of its spread.
    np.testing.assert_allclose(atoms.std(axis=1), expected, rtol=0.1)


@pytest.mark.parametrize("kind", DISTRIBUTIONAL)
def test_training_finds_the_distribution(kind, learned):
    distribution = learned(kind)
    for state in range(2):
        found = wasserstein_distance(distribution.atoms[state], ATOMS[state], distribution.weights[state], WEIGHTS)
        # Gaussians of the same mean and spread are 0.53 and 1.06 away, the sure mean 0.75 and 1.5. The atoms of c51
        # are 0.16 apart, and each true atom lies halfway between two of them: 0.08 that no training removes.
        assert found < 0.2


def test_hl_gauss_learns_the_spread_of_one_backup_and_not_of_the_return(learned):
    distribution = learned("hl_gauss")
    variance = np.sum(
        (distribution.atoms - distributions.mean(distribution)[:, None]) ** 2 * distribution.weights, axis=1
    )
    # Atoms lie 8 / 50 * (1 + 6 / 50) apart; a histogram with bins of width d has the variance sigma^2 + d^2 / 12.
    smoothing = (0.75**2 + 1 / 12) * (0.16 * 1.12) ** 2
    assert np.sqrt(variance[0]) == pytest.approx(np.sqrt(smoothing), abs=0.1)  # a sure backup; the return has 0.87
    assert np.sqrt(variance[1]) == pytest.approx(np.sqrt(3 + smoothing), abs=0.1)  # the reward's own spread
