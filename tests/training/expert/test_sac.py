"""Soft actor-critic against densities of SciPy, naive formulas, and the zero gradients that the method asks for."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from evor_eqx.training.expert import sac

CONFIG = sac.SacConfig(width=8, depth=2, batch_size=16)
OBS, ACT = 3, 2


@pytest.fixture(scope="module")
def state():
    made = sac.init_state(CONFIG, OBS, ACT, key=jax.random.key(0))
    keys = iter(jax.random.split(jax.random.key(1), 200))  # no number is 0, which could hide a mistake

    def shaken(leaf):
        return leaf + 0.3 * jax.random.normal(next(keys), leaf.shape) if eqx.is_inexact_array(leaf) else leaf

    networks, targets = jax.tree.map(shaken, (made.networks, made.targets))
    return eqx.tree_at(lambda s: (s.networks, s.targets), made, (networks, targets))


def transition(seed=0, *shape, mask=1.0):
    rng = np.random.default_rng(seed)
    obs, next_obs = (jnp.array(rng.normal(size=(*shape, OBS)), jnp.float32) for _ in range(2))
    act = jnp.array(rng.uniform(-1, 1, (*shape, ACT)), jnp.float32)
    reward = jnp.array(rng.normal(size=shape), jnp.float32)
    return sac.Transition(obs, act, reward, jnp.full(shape, mask), next_obs)


def is_zero(tree):
    return all(bool((leaf == 0).all()) for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array)))


def test_the_log_density_of_an_action_is_that_of_the_squashed_gaussian(state):
    actor, obs = state.networks.actor, transition().obs
    act, log_prob = sac.sample(actor, obs, key=jax.random.key(3))
    mean, log_std = np.split(np.float64(actor(obs)), 2)
    raw = np.arctanh(np.float64(act))
    expected = scipy.stats.norm.logpdf(raw, mean, np.exp(log_std)) - np.log(1 - np.float64(act) ** 2)
    np.testing.assert_allclose(log_prob, expected.sum(), rtol=1e-3)  # arctanh of a float32 loses digits


def test_the_critics_regress_on_the_soft_bellman_target(state):
    step, key = transition(mask=1.0), jax.random.key(4)
    networks, targets = state.networks, state.targets
    act, log_prob = sac.sample(networks.actor, step.next_obs, key=key)
    next_q = min(float(mlp(jnp.concatenate([step.next_obs, act]))[0]) for mlp in targets)
    goal = float(step.reward) + 0.99 * (next_q - float(jnp.exp(networks.log_alpha)) * float(log_prob))
    qs = [float(mlp(jnp.concatenate([step.obs, step.act]))[0]) for mlp in networks.critics]
    loss, _ = sac.critic_loss(networks, targets, step, CONFIG, key=key)
    np.testing.assert_allclose(loss, np.mean([(q - goal) ** 2 for q in qs]), rtol=1e-4)


def test_after_a_failure_the_target_is_the_reward(state):
    step = transition(mask=0.0)
    qs = sac.values(state.networks.critics, step.obs, step.act)
    loss, _ = sac.critic_loss(state.networks, state.targets, step, CONFIG, key=jax.random.key(0))
    np.testing.assert_allclose(loss, np.mean((qs - step.reward) ** 2), rtol=1e-5)


def test_each_loss_moves_only_its_own_networks(state):
    step, key = transition(), jax.random.key(5)
    of_critics = eqx.filter_grad(lambda n: sac.critic_loss(n, state.targets, step, CONFIG, key=key)[0])(state.networks)
    assert is_zero((of_critics.actor, of_critics.log_alpha))
    assert not any(map(is_zero, of_critics.critics))
    of_actor = eqx.filter_grad(lambda n: sac.actor_loss(n, step.obs, CONFIG, key=key)[0])(state.networks)
    assert is_zero(of_actor.critics)
    assert not is_zero(of_actor.actor)


@pytest.mark.parametrize(("target_entropy", "sign"), [(50.0, -1), (-50.0, 1)])
def test_the_temperature_grows_while_the_entropy_is_too_low_and_falls_while_it_is_too_high(state, target_entropy, sign):
    config, obs = dataclasses.replace(CONFIG, target_entropy=target_entropy), transition().obs
    gradient = eqx.filter_grad(lambda n: sac.actor_loss(n, obs, config, key=jax.random.key(0))[0])(state.networks)
    assert np.sign(gradient.log_alpha) == sign  # a step of Adam goes against it


def test_an_update_moves_the_targets_by_the_rate_towards_the_critics(state):
    after, _ = sac.update(state, transition(0, 16), CONFIG, key=jax.random.key(6))
    models = (state.targets, after.networks.critics, after.targets)
    leaves = [jax.tree.leaves(eqx.filter(model, eqx.is_array)) for model in models]
    for old, critic, new in zip(*leaves, strict=True):
        assert np.isfinite(new).all()
        np.testing.assert_allclose(new, 0.995 * old + 0.005 * critic, rtol=1e-4, atol=1e-6)
    assert int(after.step) == 1


def test_batches_come_from_the_first_rows_only(state):
    replay = transition(1, 40)
    later = jnp.arange(40) >= 20
    poisoned = eqx.tree_at(lambda r: r.reward, replay, jnp.where(later, jnp.nan, replay.reward))

    def after(num_rows):
        copy = jax.tree.map(lambda leaf: jnp.array(leaf, copy=True) if eqx.is_array(leaf) else leaf, state)
        _, metrics = sac.updates((poisoned, jnp.asarray(num_rows), jax.random.key(7)), copy, CONFIG, 10)
        return float(metrics["critic_loss"])

    assert np.isfinite(after(20))
    assert np.isnan(after(40))


def test_sac_finds_the_best_action_of_a_bandit():
    """One step, reward -(a - 0.5)^2: the mean action goes to 0.5 in each coordinate."""
    config = sac.SacConfig(width=32, learning_rate=3e-3, batch_size=64, target_entropy=-4.0)
    rng, num = np.random.default_rng(0), 2000
    act = rng.uniform(-1, 1, (num, ACT)).astype(np.float32)
    zeros = jnp.zeros((num, OBS))
    reward = jnp.array(-((act - 0.5) ** 2).sum(1))
    replay = sac.Transition(zeros, jnp.array(act), reward, jnp.zeros(num), zeros)
    state = sac.init_state(config, OBS, ACT, key=jax.random.key(0))
    state, _ = sac.updates((replay, jnp.asarray(num), jax.random.key(1)), state, config, 1500)
    mean, _ = jnp.split(state.networks.actor(jnp.zeros(OBS)), 2)
    np.testing.assert_allclose(jnp.tanh(mean), 0.5, atol=0.1)
