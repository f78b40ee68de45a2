"""The reward-to-go flow and its targets against closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, wasserstein_distance

from evor_eqx.config import FieldConfig, TrainConfig
from evor_eqx.critics.base import ReturnScale
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.critics.flow_targets import TARGETS
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.training import loop
from evor_eqx.types import Batch

NETWORK = FieldConfig(width=32, depth=2, head_width=16)
SCALE = ReturnScale(*map(jnp.asarray, (-20.0, 10.0, -100.0, 0.0)))
KEY = jax.random.key(0)


def critic_of(target, scale=SCALE, **options):
    config = FlowConfig(target=target, network=NETWORK, num_target_steps=10, **options)
    return make_critic(config, obs_size=2, chunk_size=1, key=KEY, scale=scale)


def constant_field(critic, value):
    """The critic with its velocity field replaced by a constant, in the units of the flow."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf, critic.field)
    field = eqx.tree_at(lambda f: f.encoder.output.bias, zeros, zeros.encoder.output.bias.at[-1].set(value))
    return eqx.tree_at(lambda c: c.field, critic, field)


def example_of(reward=-1.0, mask=1.0, discount=0.9, mc_return=-7.0):
    return Batch(
        obs=jnp.ones(2),
        chunk=jnp.zeros(1),
        reward=jnp.asarray(reward),
        discount=jnp.asarray(discount),
        mask=jnp.asarray(mask),
        valid=jnp.asarray(True),
        next_obs=jnp.zeros(2),
        next_chunk=jnp.ones(1),
        mc_return=jnp.asarray(mc_return),
    )


def end_of_path(z_t, vel, t):
    """The z_1 that a straight path with this point and velocity leads to."""
    return z_t + (1 - t) * vel


@pytest.mark.parametrize("target", TARGETS)
def test_loss_depends_on_the_target_network_and_sends_it_no_gradient(target):
    critic, example = critic_of(target), example_of()

    def loss(other):
        return critic.loss(other, example, key=KEY)[0]

    gradient = eqx.filter_grad(loss)(critic)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))
    perturbed = jax.tree.map(lambda leaf: leaf + 0.1 if eqx.is_inexact_array(leaf) else leaf, critic.field)
    other = eqx.tree_at(lambda c: c.field, critic, perturbed)
    assert (loss(other) != loss(critic)) == (target != "mc")


@pytest.mark.parametrize("target", ["bootstrap", "coupled", "velocity"])
def test_where_the_task_ends_the_backup_is_the_reward(target):
    critic, t = critic_of(target), jnp.array(0.25)
    step = critic.bellman_step(example_of(reward=-3.0, mask=0.0))
    z_t, vel = TARGETS[target](step, jnp.array([0.4]), t, key=KEY)
    reward = float(SCALE.to_unit(jnp.array(-3.0)))
    reached = vel if target == "velocity" else end_of_path(z_t, vel, t)
    assert float(reached[0]) == pytest.approx(reward, abs=1e-5)


def test_coupled_backs_up_the_flow_from_the_same_noise():
    """A constant field c carries z_0 to z_0 + c, so z_1 = r + gamma (shift + scale (z_0 + c))."""
    critic, t, z_0 = constant_field(critic_of("coupled"), 0.3), jnp.array(0.25), jnp.array([0.4])
    z_t, vel = TARGETS["coupled"](critic.bellman_step(example_of()), z_0, t, key=KEY)
    expected = -1.0 + 0.9 * (-20.0 + 10.0 * 0.7)
    assert float(SCALE.to_return(end_of_path(z_t, vel, t))[0]) == pytest.approx(expected, rel=1e-5)


def test_bootstrap_draws_fresh_noise():
    critic, z_0, t = constant_field(critic_of("bootstrap"), 0.0), jnp.array([0.0]), jnp.array(0.0)
    step = critic.bellman_step(example_of())
    keys = jax.random.split(KEY, 4000)
    ends = jax.vmap(lambda key: end_of_path(*TARGETS["bootstrap"](step, z_0, t, key=key), t))(keys)[:, 0]
    returns = np.asarray(SCALE.to_return(ends))
    # -1 + 0.9 N(-20, 10^2), clipped at 0 (two standard deviations up); error of the mean is 9 / sqrt(4000) = 0.14.
    reference = np.clip(-1 + 0.9 * (-20 + 10 * norm.ppf((np.arange(4000) + 0.5) / 4000)), -100, 0)
    assert wasserstein_distance(returns, reference) < 0.5


def test_velocity_has_the_expected_return_as_its_fixed_point():
    """v = Q / unit for all (z, t) is the fixed point where Q = r + gamma Q: here Q = -1 / (1 - 0.9) = -10."""
    unit = float(SCALE.to_unit(jnp.array(-10.0)))
    step = constant_field(critic_of("velocity"), unit).bellman_step(example_of())
    for z_0, t in [(-1.5, 0.0), (0.0, 0.5), (2.0, 0.9)]:
        _, vel = TARGETS["velocity"](step, jnp.array([z_0]), jnp.array(t), key=KEY)
        assert float(vel[0]) == pytest.approx(unit, rel=1e-5)


def test_the_point_of_velocity_gives_no_reward_away():
    """Rewards of a fair coin: the target's mean is the same wherever on the path it is asked for."""

    def point_and_target(key):
        coin_key, noise_key, time_key, target_key = jax.random.split(key, 4)
        reward = jnp.where(jax.random.bernoulli(coin_key), -1.0, -9.0)
        step = constant_field(critic_of("velocity"), 0.0).bellman_step(example_of(reward=reward))
        noise, t = jax.random.normal(noise_key, (1,)), jax.random.uniform(time_key)
        return TARGETS["velocity"](step, noise, t, key=target_key)

    z_t, vel = jax.vmap(point_and_target)(jax.random.split(KEY, 10_000))
    # Within four standard errors; on the way to a sampled backup it would be 0.2.
    assert abs(np.corrcoef(z_t[:, 0], vel[:, 0])[0, 1]) < 0.04


@pytest.mark.parametrize("target", TARGETS)
def test_more_times_give_the_mean_of_their_losses(target):
    """One time in each quarter of [0, 1]; all share the noise, the backup and the target's own draws."""
    critic, example = critic_of(target, num_times=4), example_of()
    loss, metrics = critic.loss(critic, example, key=KEY)
    noise_key, time_key, target_key = jax.random.split(KEY, 3)
    noise, quarters = jax.random.normal(noise_key, (1,)), jax.random.uniform(time_key, (4,))
    each, ends = [], []
    for quarter in range(4):
        t = (quarter + quarters[quarter]) / 4
        z_t, vel = TARGETS[target](critic.bellman_step(example), noise, t, key=target_key)
        each.append((critic.field(z_t, t, critic.inputs(example.obs, example.chunk)) - vel)[0] ** 2)
        ends.append(SCALE.to_return(noise + vel)[0])
    assert float(loss) == pytest.approx(np.mean(each), rel=1e-5)
    assert float(metrics["target_return"]) == pytest.approx(np.mean(ends), rel=1e-5)


def test_more_times_take_noise_out_of_the_gradient():
    """The same mean as with one time, and less variance."""
    example, keys = example_of(), jax.random.split(KEY, 4000)
    losses = {}
    for num_times in (1, 8):
        critic = critic_of("coupled", num_times=num_times)
        losses[num_times] = np.asarray(jax.vmap(lambda key, c=critic: c.loss(c, example, key=key)[0])(keys))
    one, eight = losses[1], losses[8]
    assert abs(one.mean() - eight.mean()) < 4 * np.hypot(one.std(), eight.std()) / np.sqrt(4000)
    assert eight.std() < one.std()


def test_mc_ends_at_the_recorded_return():
    t = jnp.array(0.25)
    z_t, vel = TARGETS["mc"](critic_of("mc").bellman_step(example_of()), jnp.array([0.4]), t, key=KEY)
    assert float(SCALE.to_return(end_of_path(z_t, vel, t))[0]) == pytest.approx(-7.0, rel=1e-5)


def test_distribution_of_a_constant_field_is_a_shifted_gaussian_at_its_mid_quantiles():
    distribution = constant_field(critic_of("bootstrap"), 0.5).distribution(jnp.ones(2), jnp.zeros(1), 8, 10)
    expected = -20 + 10 * (0.5 + norm.ppf((np.arange(8) + 0.5) / 8))
    np.testing.assert_allclose(distribution.atoms, expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(distribution.weights, 1 / 8)


def chain(num_episodes=400):
    """Two steps, then a fair coin pays +1 or -1: from the start the discounted return is +-0.9 (gamma = 0.9)."""
    coin = np.where(np.arange(num_episodes) % 2, 1.0, -1.0)
    row = np.tile(np.arange(3), num_episodes)
    arrays = {
        "observations": np.stack([row == 0, row == 1], axis=1).astype(np.float32),
        "actions": np.zeros((len(row), 1), np.float32),
        "valids": (row < 2).astype(np.float32),
        "rewards": np.where(row == 1, np.repeat(coin, 3), 0.0),
        "masks": np.where(row == 1, 0.0, 1.0),
    }
    return OfflineDataset.from_compact(arrays).windows(gamma=0.9)


def learned_distribution(target):
    config = TrainConfig(num_updates=1500, batch_size=128, learning_rate=3e-3, decay=True, ema_rate=0.01, log_every=500)
    model = critic_of(target, ReturnScale(*map(jnp.asarray, (0.0, 1.0, -10.0, 10.0))))

    critic = loop.fit(model, chain(), chain(10), config, loop.Memory(), key=KEY)
    return np.asarray(critic.distribution(jnp.array([1.0, 0.0]), jnp.zeros(1), 200, 50).atoms)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["bootstrap", "coupled", "dcfm", "mc"])
def test_distributional_targets_recover_both_atoms_of_the_chain(target):
    atoms = learned_distribution(target)
    # A small network after seconds of training smears the atoms, which are 1.8 apart; a Gaussian of the same mean and
    # spread would be 0.48 away.
    assert wasserstein_distance(atoms, [-0.9, 0.9]) < 0.25


@pytest.mark.slow
def test_velocity_has_the_right_mean_and_not_the_distribution():
    atoms = learned_distribution("velocity")
    assert np.mean(atoms) == pytest.approx(0.0, abs=0.1)
    assert np.std(atoms) == pytest.approx(1.0, abs=0.07)  # that of the base noise; the truth has 0.9
    assert wasserstein_distance(atoms, [-0.9, 0.9]) > 0.4  # as far as a Gaussian of the right mean and spread: 0.48
