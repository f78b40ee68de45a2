"""One update against a hand-written one; the choice of a draw; the moving average."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training.examples import CONFIG, KEY, Slope, make_model

from evor_eqx.config import TrainConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.next_draw import DrawChoice
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.training import update


def test_one_update_is_adam_on_the_mean_gradient_then_the_moving_average(windows):
    state = update.init_state(make_model(), CONFIG)
    batch = windows.sample(8, key=jax.random.key(1))
    updated, metrics = update.update(state, batch, CONFIG, key=jax.random.key(2))

    keys = jax.random.split(jax.random.key(2), 8)
    errors = [float(0.1 * jax.random.normal(k) - r) for k, r in zip(keys, batch.reward, strict=True)]
    gradient = np.mean([2 * e * float(x) for e, x in zip(errors, batch.obs[:, 0], strict=True)])
    # Adam's first step has the length of the learning rate, against the gradient's sign.
    assert float(updated.model.slope) == pytest.approx(-CONFIG.learning_rate * np.sign(gradient), rel=1e-4)
    assert float(updated.target.slope) == pytest.approx(CONFIG.ema_rate * float(updated.model.slope), rel=1e-5)
    assert float(metrics["loss"]) == pytest.approx(np.mean(np.square(errors)), rel=1e-4)


def test_decay_ends_at_a_step_size_of_zero():
    config = TrainConfig(num_updates=10, learning_rate=1e-2, decay=True)
    optimiser = update.optimiser(config)
    state = optimiser.init(jnp.zeros(()))
    sizes = []
    for _ in range(11):
        change, state = optimiser.update(jnp.ones(()), state)
        sizes.append(-float(change))
    schedule = [0.5e-2 * (1 + np.cos(np.pi * k / 10)) for k in range(11)]
    # Under a constant gradient Adam's step is the learning rate (to its epsilon of 1e-8).
    np.testing.assert_allclose(sizes, schedule, rtol=1e-4, atol=1e-8)


class Chosen(AbstractCritic):
    """A critic whose mean is the chunk, and whose loss is the next chunk: the choice shows."""

    sign: jax.Array

    def loss(self, target, example, *, key):
        return example.next_chunk[0], {"loss": example.next_chunk[0]}

    def distribution(self, obs, chunk, num_returns, num_steps):
        return ReturnDistribution.of_equal_weights(self.sign * chunk)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, [2.0, 5.0]), (-1.0, [1.0, 3.0])])
def test_where_a_batch_has_draws_the_model_chooses_the_best_and_the_target_has_no_say(windows, sign, expected):
    batch = windows.sample(2, key=KEY)
    draws = jnp.array([[[1.0], [2.0]], [[5.0], [3.0]]])
    batch = dataclasses.replace(batch, next_draws=draws, choose=DrawChoice())
    model, target = Chosen(jnp.asarray(sign)), Chosen(jnp.asarray(-sign))
    loss, _ = update.batch_loss(model, target, batch, key=KEY)
    assert float(loss) == np.mean(expected)
    gradient = eqx.filter_grad(lambda own: update.batch_loss(own, target, batch, key=KEY)[0])(model)
    assert float(gradient.sign) == 0


def test_without_draws_nothing_is_chosen(windows):
    batch = windows.sample(2, key=KEY)
    loss, _ = update.batch_loss(Chosen(jnp.ones(())), Chosen(jnp.ones(())), batch, key=KEY)
    assert float(loss) == pytest.approx(float(batch.next_chunk.mean()))


def test_the_moving_average_is_a_geometric_sum_of_the_models():
    models = [1.0, -2.0, 0.5]
    target, rate = Slope(jnp.zeros(())), 0.1
    for value in models:
        target = update.ema(target, Slope(jnp.asarray(value)), rate)
    expected = sum(rate * (1 - rate) ** (2 - index) * value for index, value in enumerate(models))
    assert float(target.slope) == pytest.approx(expected)
