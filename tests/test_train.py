"""Training against hand-written updates; resume against a run that never stopped, bit for bit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx import train
from evor_eqx.config import TrainConfig
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.windows import HostWindows
from evor_eqx.errors import UserError
from evor_eqx.runs import Run

CONFIG = TrainConfig(num_updates=60, batch_size=8, learning_rate=1e-2, ema_rate=0.1, log_every=10, checkpoint_every=20)
KEY = jax.random.key(0)


class Slope(eqx.Module):
    """A model of one number: reward = slope * obs."""

    slope: jax.Array

    def loss(self, target, example, *, key):
        """Squared error with noise from the key, so that a wrong key shows."""
        noise = 0.1 * jax.random.normal(key)
        value = jnp.square(self.slope * example.obs[0] + noise - example.reward)
        return value, {"loss": value}


@pytest.fixture(scope="module")
def windows():
    obs = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    valids = np.ones(50)
    valids[[24, 49]] = 0
    arrays = {"observations": obs, "actions": obs, "valids": valids, "rewards": 3 * obs[:, 0], "masks": np.ones(50)}
    return OfflineDataset.from_arrays(arrays).windows(gamma=0.9)


def make_model():
    return Slope(jnp.zeros(()))


def fit(windows, run, config=CONFIG, **options):
    return train.fit(make_model(), windows, windows, config, run, key=KEY, **options)


def test_one_update_is_adam_on_the_mean_gradient_then_the_moving_average(windows):
    state = train.init_state(make_model(), CONFIG)
    batch = windows.sample(8, key=jax.random.key(1))
    updated, metrics = train.update(state, batch, CONFIG, key=jax.random.key(2))

    keys = jax.random.split(jax.random.key(2), 8)
    errors = [float(0.1 * jax.random.normal(k) - r) for k, r in zip(keys, batch.reward, strict=True)]
    gradient = np.mean([2 * e * float(x) for e, x in zip(errors, batch.obs[:, 0], strict=True)])
    # Adam's first step has the length of the learning rate, against the gradient's sign.
    assert float(updated.model.slope) == pytest.approx(-CONFIG.learning_rate * np.sign(gradient), rel=1e-4)
    assert float(updated.target.slope) == pytest.approx(CONFIG.ema_rate * float(updated.model.slope), rel=1e-5)
    assert float(metrics["loss"]) == pytest.approx(np.mean(np.square(errors)), rel=1e-4)


def test_fused_blocks_make_the_same_updates_as_a_plain_loop(windows):
    inputs = (windows, windows.sample(8, key=KEY), KEY, jax.random.key(9))
    fused, _ = train.run_block(inputs, train.init_state(make_model(), CONFIG), CONFIG, 5)
    state = train.init_state(make_model(), CONFIG)
    for step in range(5):
        batch_key, loss_key = jax.random.split(jax.random.fold_in(KEY, step))
        state, _ = train.update(state, windows.sample(8, key=batch_key), CONFIG, key=loss_key)
    np.testing.assert_allclose(fused.model.slope, state.model.slope, rtol=1e-5)
    assert int(fused.step) == 5


def test_training_learns_the_slope(windows, home):
    model = fit(windows, Run.open("toy", "slope", {}), TrainConfig(**{**vars(CONFIG), "num_updates": 1500}))
    assert float(model.slope) == pytest.approx(3.0, abs=0.1)


def test_decay_ends_at_a_step_size_of_zero():
    config = TrainConfig(num_updates=10, learning_rate=1e-2, decay=True)
    optimiser = train.optimiser(config)
    state = optimiser.init(jnp.zeros(()))
    sizes = []
    for _ in range(11):
        change, state = optimiser.update(jnp.ones(()), state)
        sizes.append(-float(change))
    schedule = [0.5e-2 * (1 + np.cos(np.pi * k / 10)) for k in range(11)]
    # Under a constant gradient Adam's step is the learning rate (to its epsilon of 1e-8).
    np.testing.assert_allclose(sizes, schedule, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("stop_at", [10, 20, 50])
def test_a_stopped_run_resumed_equals_one_that_never_stopped(windows, home, stop_at):
    class Stop(Exception):
        pass

    def stop(step):
        if step == stop_at:
            raise Stop

    undisturbed, stopped = Run.open("toy", "slope", {"n": 1}), Run.open("toy", "slope", {"n": 2})
    expected = fit(windows, undisturbed)
    with pytest.raises(Stop):
        fit(windows, stopped, on_block=stop)
    np.testing.assert_array_equal(fit(windows, stopped).slope, expected.slope)
    assert (stopped.path / "checkpoint.eqx").read_bytes() == (undisturbed.path / "checkpoint.eqx").read_bytes()
    for name, column in undisturbed.metrics().items():
        if name != "time":
            np.testing.assert_array_equal(stopped.metrics()[name], column)


def test_data_on_the_host_train_what_data_on_the_device_train(windows, home):
    host = HostWindows(jax.tree.map(np.asarray, windows))
    expected = fit(windows, Run.open("toy", "slope", {"n": 1}))
    np.testing.assert_allclose(fit(host, Run.open("toy", "slope", {"n": 2})).slope, expected.slope, rtol=1e-5)


def test_training_leaves_the_model_that_it_was_given(windows, home):
    model = make_model()
    train.fit(model, windows, windows, CONFIG, Run.open("toy", "slope", {}), key=KEY)
    assert float(model.slope) == 0.0


def test_a_finished_run_is_not_trained_again(windows, home):
    run = Run.open("toy", "slope", {})
    fit(windows, run)
    blocks = []
    fit(windows, run, on_block=blocks.append)
    assert blocks == [CONFIG.num_updates]


def test_divergence_stops_and_keeps_the_last_checkpoint(windows, home):
    run = Run.open("toy", "slope", {})

    class Exploding(eqx.Module):
        slope: jax.Array

        def loss(self, target, example, *, key):
            value, metrics = Slope(self.slope).loss(target, example, key=key)
            return value, {"loss": jnp.where(jnp.abs(self.slope) > 0.3, jnp.nan, metrics["loss"])}

    with pytest.raises(UserError, match=r"after 40 updates.*learning_rate"):
        train.fit(Exploding(jnp.zeros(())), windows, windows, CONFIG, run, key=KEY)
    assert int(run.restore(train.init_state(make_model(), CONFIG)).step) == 20


def test_seeds_side_by_side_train_as_each_would_alone(windows, home):
    keys = jax.random.split(KEY, 3)
    models = Slope(jnp.zeros(3))
    run = Run.open("toy", "slopes", {})
    together = train.fit(models, windows, windows, CONFIG, run, key=keys, measure=lambda m: {"slope": m.slope})
    for seed, key in enumerate(keys):
        alone = train.fit(make_model(), windows, windows, CONFIG, Run.open("toy", "one", {"n": seed}), key=key)
        assert float(together.slope[seed]) == pytest.approx(float(alone.slope), rel=1e-5)
    metrics = run.metrics()
    assert metrics["loss"].shape == metrics["slope"].shape == (6, 3)
    np.testing.assert_allclose(metrics["slope"][-1], together.slope)
