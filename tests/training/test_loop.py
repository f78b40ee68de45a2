"""Training against a plain loop of updates; resume against a run that never stopped, bit for bit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training.examples import CONFIG, KEY, Slope, make_model

from evor_eqx.config import TrainConfig
from evor_eqx.data.windows import HostWindows
from evor_eqx.errors import UserError
from evor_eqx.runs.run import Run
from evor_eqx.system.signals import Stopped
from evor_eqx.training import loop
from evor_eqx.training.update import init_state, update, update_keys


def fit(windows, run, config=CONFIG, **options):
    return loop.fit(make_model(), windows, windows, config, run, key=KEY, **options)


def test_fused_blocks_make_the_same_updates_as_a_plain_loop(windows):
    inputs = (windows, windows.sample(8, key=KEY), KEY, jax.random.key(9))
    fused, _ = loop.run_block(inputs, init_state(make_model(), CONFIG), CONFIG, 5)
    state = init_state(make_model(), CONFIG)
    for step in range(5):
        batch_key, loss_key = jax.random.split(jax.random.fold_in(KEY, step))
        state, _ = update(state, windows.sample(8, key=batch_key), CONFIG, key=loss_key)
    np.testing.assert_allclose(fused.model.slope, state.model.slope, rtol=1e-5)
    assert int(fused.step) == 5


def test_a_model_made_of_python_numbers_compiles_once(windows):
    state, before = init_state(Slope(jnp.asarray(0.0)), CONFIG), loop.run_block._cached._cache_size()
    inputs = (windows, windows.sample(4, key=KEY), KEY, jax.random.key(9))  # a batch that no other test here has
    for _ in range(3):
        state, _ = loop.run_block(inputs, state, CONFIG, 5)
    assert loop.run_block._cached._cache_size() == before + 1


def test_training_learns_the_slope(windows, home):
    model = fit(windows, Run.of("toy", "slope", {}).open(), TrainConfig(**{**vars(CONFIG), "num_updates": 1500}))
    assert float(model.slope) == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("sampler", [lambda windows: windows, lambda w: HostWindows(jax.tree.map(np.asarray, w))])
@pytest.mark.parametrize("stop_at", [0, 10, 20, 50, 60])
def test_a_stopped_run_is_saved_and_resumed_equals_one_that_never_stopped(windows, home, stop_at, sampler):
    def stop(step, scalars, model):
        if step == stop_at:
            raise Stopped

    undisturbed, stopped = Run.of("toy", "slope", {"n": 1}).open(), Run.of("toy", "slope", {"n": 2}).open()
    expected = fit(sampler(windows), undisturbed)
    with pytest.raises(Stopped):
        fit(sampler(windows), stopped, watch=stop)
    assert stopped.read(init_state(make_model(), CONFIG)).num_updates == stop_at
    seen = []
    resumed = fit(sampler(windows), stopped, watch=lambda step, scalars, model: seen.append(step))
    assert seen == list(range(stop_at, 61, 10))
    np.testing.assert_array_equal(resumed.slope, expected.slope)
    leaves = [(each.path / "checkpoint.eqx").read_bytes().partition(b"\n")[2] for each in (stopped, undisturbed)]
    assert leaves[0] == leaves[1]
    for name, column in undisturbed.metrics().items():
        if name != "time":
            np.testing.assert_array_equal(stopped.metrics()[name], column)


def test_another_exception_of_a_watcher_saves_nothing_and_its_run_goes_on_from_the_checkpoint(windows, home):
    def fail(step, scalars, model):
        if step == 30:
            raise RuntimeError

    run = Run.of("toy", "slope", {"n": 2}).open()
    with pytest.raises(RuntimeError):
        fit(windows, run, watch=fail)
    assert run.read(init_state(make_model(), CONFIG)).num_updates == 20
    np.testing.assert_array_equal(fit(windows, run).slope, fit(windows, Run.of("toy", "slope", {"n": 1}).open()).slope)


def test_a_watcher_sees_the_record_and_the_moving_average(windows, home):
    run, seen = Run.of("toy", "slope", {}).open(), {}
    model = fit(windows, run, watch=lambda step, scalars, model: seen.update({step: (scalars, float(model.slope))}))
    assert seen[0] == ({}, 0.0) and seen[60][1] == float(model.slope)
    assert [seen[step][0]["loss"] for step in range(10, 61, 10)] == run.metrics()["loss"].tolist()


def test_data_on_the_host_train_what_data_on_the_device_train(windows, home):
    host = HostWindows(jax.tree.map(np.asarray, windows))
    expected = fit(windows, Run.of("toy", "slope", {"n": 1}).open())
    np.testing.assert_allclose(fit(host, Run.of("toy", "slope", {"n": 2}).open()).slope, expected.slope, rtol=1e-5)


def test_training_leaves_the_model_that_it_was_given(windows, home):
    model = make_model()
    loop.fit(model, windows, windows, CONFIG, Run.of("toy", "slope", {}).open(), key=KEY)
    assert float(model.slope) == 0.0


def test_a_finished_run_is_not_trained_again(windows, home):
    run = Run.of("toy", "slope", {}).open()
    fit(windows, run)
    blocks = []
    fit(windows, run, watch=lambda step, scalars, model: blocks.append(step))
    assert blocks == [CONFIG.num_updates]


class Exploding(eqx.Module):
    """A slope that explodes on its way to 3: its loss, or only its gradient, is no number from `limit` on."""

    slope: jax.Array
    limit: float = 0.3
    in_loss: bool = eqx.field(static=True, default=True)

    def loss(self, target, example, *, key):
        """Of a slope, but the NaN."""
        value, metrics = Slope(self.slope).loss(target, example, key=key)
        bad = jnp.where(jnp.abs(self.slope) > jax.lax.stop_gradient(self.limit), jnp.nan, 1.0)
        return value * bad, {"loss": metrics["loss"] * bad if self.in_loss else jnp.nan_to_num(metrics["loss"])}


@pytest.mark.parametrize(("in_loss", "what"), [(True, "loss is nan"), (False, "the parameters are not finite")])
def test_divergence_stops_with_one_line_and_keeps_the_last_checkpoint(windows, home, in_loss, what):
    run = Run.of("toy", "slope", {}).open()
    model = Exploding(jnp.zeros(()), in_loss=in_loss)
    with pytest.raises(UserError) as raised:
        loop.fit(model, windows, windows, CONFIG, run, key=KEY)
    message = str(raised.value)
    assert f"in updates 31 to 40: {what}" in message and "checkpoint of 20 updates is kept" in message
    assert "lower learning_rate (0.01)" in message and "\n" not in message
    restored = run.restore(init_state(model, CONFIG))
    assert restored.num_updates == 20 and np.isfinite(restored.model.slope)
    # The key that is named draws the batches of the block that failed.
    words = [int(word) for word in message.partition("key data [")[2].partition("]")[0].split(", ")]
    named = jax.random.wrap_key_data(jnp.array(words, jnp.uint32))
    state = restored
    for step in range(20, 40):
        batch_key, loss_key = update_keys(named, jnp.array(step))
        state, _ = update(state, windows.sample(8, key=batch_key), CONFIG, key=loss_key)
        assert np.isfinite(state.model.slope) or step >= 30
    assert not np.isfinite(state.model.slope)


def test_divergence_before_the_first_checkpoint_and_of_one_seed_among_several_is_named(windows, home):
    models = Exploding(jnp.zeros(3), jnp.array([9.0, 0.05, 0.05]))
    with pytest.raises(UserError, match=r"of seed 1 of 3 in updates 1 to 10: .*no checkpoint was saved yet"):
        keys = jax.random.split(KEY, 3)
        loop.fit(models, windows, windows, CONFIG, Run.of("toy", "slope", {}).open(), key=keys)


def test_seeds_side_by_side_train_as_each_would_alone(windows, home):
    keys = jax.random.split(KEY, 3)
    models = Slope(jnp.zeros(3))
    run = Run.of("toy", "slopes", {}).open()
    together = loop.fit(models, windows, windows, CONFIG, run, key=keys, measure=lambda m: {"slope": m.slope})
    for seed, key in enumerate(keys):
        alone = loop.fit(make_model(), windows, windows, CONFIG, Run.of("toy", "one", {"n": seed}).open(), key=key)
        assert float(together.slope[seed]) == pytest.approx(float(alone.slope), rel=1e-5)
    metrics = run.metrics()
    assert metrics["loss"].shape == metrics["slope"].shape == (6, 3)
    np.testing.assert_allclose(metrics["slope"][-1], together.slope)
