"""A tiny training of the ant: it resumes bit for bit, ends once, and its actor is the same in NumPy and JAX."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.data.generation.ant_actor import AntActor
from evor_eqx.errors import UserError
from evor_eqx.system.files import sha256
from evor_eqx.system.signals import Stopped
from evor_eqx.training.expert import ant
from evor_eqx.training.expert.sac import SacConfig
from evor_eqx.training.expert.shipping import write_actor

TINY = ant.ExpertConfig(
    num_steps=60, num_random_steps=20, block=10, log_every=20, sac=SacConfig(width=8, depth=1, batch_size=4)
)


@pytest.fixture
def home(monkeypatch, tmp_path):
    def at(name):
        monkeypatch.setenv("EVOR_HOME", str(tmp_path / name))

    at("first")
    return at


def numbers(run, config=TINY):
    columns = {name: column for name, column in run.metrics().items() if name != "time"}
    return columns, ant.read_actor(run, config).layers


def assert_equal(first, second):
    assert jax.tree.all(jax.tree.map(np.array_equal, first, second))


def test_a_stopped_training_goes_on_bit_for_bit(home):
    whole = numbers(ant.train_ant(TINY))
    home("second")

    def stop(step, row):
        if step == 40:
            raise Stopped("enough")

    with pytest.raises(Stopped):
        ant.train_ant(TINY, stop)
    assert not ant.expert_run(TINY).complete
    resumed = ant.train_ant(TINY)
    assert resumed.complete
    assert_equal(numbers(resumed), whole)
    assert whole[0]["step"].tolist() == [20, 40, 60]
    assert np.isfinite(list(whole[0].values())).all()


def test_a_signal_stops_at_the_end_of_a_block_and_the_rows_are_the_same(home, monkeypatch):
    whole = numbers(ant.train_ant(TINY))
    home("second")
    block = ant._block

    def block_with_signal(state, *rest):
        import signal

        after = block(state, *rest)
        if state.num_updates == 20 and not stopped:
            stopped.append(True)
            signal.raise_signal(signal.SIGTERM)
            import time

            time.sleep(0.3)  # the listener is another thread
        return after

    stopped = []
    monkeypatch.setattr(ant, "_block", block_with_signal)
    with pytest.raises(Stopped, match="saved at 30 steps"):
        ant.train_ant(TINY)
    assert_equal(numbers(ant.train_ant(TINY)), whole)


def test_a_shorter_training_has_the_numbers_of_a_longer_one_up_to_its_end(home):
    longer = ant.train_ant(TINY)
    short = dataclasses.replace(TINY, num_steps=40)
    _, layers = numbers(ant.train_ant(short), short)
    assert_equal(layers, ant.read_actor(longer, TINY, 40).layers)


def test_another_seed_gives_another_actor(home):
    first, other = TINY, dataclasses.replace(TINY, seed=1)
    layers = [numbers(ant.train_ant(each), each)[1] for each in (first, other)]
    assert not np.array_equal(layers[0][0][0], layers[1][0][0])


def test_what_is_trained_is_not_trained_again(home, monkeypatch):
    ant.train_ant(TINY)
    monkeypatch.setattr(ant, "_train", lambda *_: pytest.fail("trained again"))
    assert ant.train_ant(TINY).complete


def test_the_files_to_ship_say_what_made_them(home, tmp_path):
    run = ant.train_ant(TINY)
    path = write_actor(run, TINY, tmp_path, step=40)
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["sha256"] == sha256(path)
    assert facts["command"] == "evor expert ant --num-steps 40 --seed 0"
    assert facts["curve"]["step"] == [20, 40]
    assert_equal(AntActor.read(path).layers, ant.read_actor(run, TINY, 40).layers)


def test_lengths_that_fill_no_block_and_steps_without_an_actor_are_refused(home):
    with pytest.raises(UserError, match="num_steps is 55: expected a multiple of block"):
        dataclasses.replace(TINY, num_steps=55)
    with pytest.raises(UserError, match="no actor after 30 steps"):
        ant.read_actor(ant.train_ant(TINY), TINY, 30)


def test_the_actor_in_numpy_is_the_one_in_jax():
    state = ant.init_state(ant.SacConfig(), 29, 8, key=jax.random.key(0))
    actor = ant.export_actor(state.networks.actor)
    assert sum(weight.size + bias.size for weight, bias in actor.layers) == 77_584
    for obs in np.random.default_rng(0).normal(size=(20, 29)):
        mean, log_std = np.split(state.networks.actor(jnp.array(obs, jnp.float32)), 2)
        found = actor.distribution(obs)
        np.testing.assert_allclose(found[0], mean, atol=1e-5)
        np.testing.assert_allclose(found[1], np.clip(log_std, -5, 2), atol=1e-5)
