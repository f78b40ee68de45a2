"""The base policy against the loss written out, its own bounds, and a two-mode distribution it must not average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.config import FieldConfig, PolicyConfig, TrainConfig
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.policy import make_policy
from evor_eqx.runs.run import Run
from evor_eqx.training import loop

KEY = jax.random.key(0)
CONFIG = PolicyConfig(network=FieldConfig(width=32, depth=2))


def two_modes(num_rows=1000):
    """One state; the action is (0.6, -0.4) or (-0.6, 0.4), each half of the time."""
    sign = np.where(np.arange(num_rows) % 2, 1.0, -1.0)[:, None]
    valids = np.ones(num_rows)
    valids[-1] = 0
    arrays = {"observations": np.zeros((num_rows, 3)), "actions": sign * np.array([0.6, -0.4]), "valids": valids}
    return OfflineDataset.from_compact(arrays)


def test_loss_is_the_flow_matching_loss_written_out():
    policy = make_policy(CONFIG, obs_size=3, chunk_size=2, key=KEY)
    example = jax.tree.map(lambda leaf: leaf[0], two_modes().windows(gamma=1.0).sample(1, key=KEY))
    loss, metrics = policy.loss(policy, example, key=KEY)
    noise_key, time_key = jax.random.split(KEY)
    a_0, t = jax.random.normal(noise_key, (2,)), jax.random.uniform(time_key)
    vel = policy.field((1 - t) * a_0 + t * example.chunk, t, example.obs)
    np.testing.assert_allclose(loss, np.mean((np.asarray(vel) - np.asarray(example.chunk - a_0)) ** 2), rtol=1e-5)
    assert float(metrics["loss"]) == float(loss)


def test_samples_are_actions_and_the_first_of_many_are_those_of_few():
    policy = make_policy(CONFIG, obs_size=3, chunk_size=2, key=KEY)
    many = policy.sample(jnp.zeros(3), 64, 10, key=KEY)
    assert many.shape == (64, 2) and (jnp.abs(many) <= 1).all() and (jnp.abs(many) == 1).any()
    np.testing.assert_allclose(policy.sample(jnp.zeros(3), 8, 10, key=KEY), many[:8], atol=1e-6)


@pytest.mark.slow
def test_a_trained_policy_keeps_both_modes(home):
    policy = make_policy(CONFIG, obs_size=3, chunk_size=2, key=KEY)
    windows = two_modes().windows(gamma=1.0)
    config = TrainConfig(num_updates=1500, batch_size=128, learning_rate=3e-3, decay=True, ema_rate=0.01)

    trained = loop.fit(policy, windows, windows, config, Run.of("toy", "policy", {}).open(), key=KEY)
    samples = np.asarray(trained.sample(jnp.zeros(3), 500, 20, key=jax.random.key(1)))
    mode = np.array([0.6, -0.4])
    distance = np.minimum(np.linalg.norm(samples - mode, axis=1), np.linalg.norm(samples + mode, axis=1))
    # Euler's 20 steps and a small network leave some samples between the modes, 1.4 apart.
    assert np.mean(distance < 0.2) > 0.85
    assert 0.4 < np.mean(samples[:, 0] > 0) < 0.6
