"""A Minari dataset that is made on the spot, as a task."""

import inspect

import gymnasium
import minari
import numpy as np
import pytest

from evor_eqx.data.minari import minari_task

EPISODES, STEPS = 5, 12


@pytest.fixture
def mountain_car(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = minari.DataCollector(gymnasium.make("MountainCarContinuous-v0", max_episode_steps=STEPS))
    env.action_space.seed(0)
    for seed in range(EPISODES):
        env.reset(seed=seed)
        for _ in range(STEPS):
            env.step(env.action_space.sample())
    return env.create_dataset(
        "mountaincar/random-v0", algorithm_name="random", author="nobody", author_email="none@example.org"
    )


def test_episodes_are_split_and_keep_their_states_and_the_environment_is_that_of_the_data(mountain_car):
    task = minari_task("mountaincar/random-v0", gamma=0.95, validation_share=0.4)
    lengths = {
        name: len(np.unique(split.last_row)) for name, split in (("train", task.train), ("val", task.validation))
    }
    assert lengths == {"train": 3, "val": 2} and task.name == "mountaincar-random-v0"
    recorded = {tuple(episode.observations[0]) for episode in mountain_car.iterate_episodes()}
    starts = [split.obs[np.append(0, np.unique(split.last_row)[:-1] + 1)] for split in (task.train, task.validation)]
    assert {tuple(row) for row in np.concatenate(starts)} == {tuple(np.float32(row)) for row in recorded}
    for split in (task.train, task.validation):
        assert len(split.transitions) == STEPS * len(np.unique(split.last_row)) and not split.ended.any()
    env = task.make_env()
    assert env.spec.id == "MountainCarContinuous-v0" and env.reset(seed=3)[0].shape == (2,)
    assert (task.bounds.low, task.bounds.high) == ((-1.0,), (1.0,))


def test_the_split_is_that_of_the_seed(mountain_car):
    first, again, other = (minari_task("mountaincar/random-v0", seed=seed) for seed in (0, 0, 3))
    assert first == again and first != other


def test_a_recording_can_ask_its_environment_for_pictures(mountain_car):
    make_env = minari_task("mountaincar/random-v0").make_env
    assert "render_mode" in inspect.signature(make_env).parameters  # by which a recording knows
    modes = [make_env().render_mode, make_env(render_mode="rgb_array").render_mode]
    assert modes == [None, "rgb_array"]
