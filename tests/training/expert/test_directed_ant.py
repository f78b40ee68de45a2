"""The ant with a direction against OGBench's `GymXYWrapper`, and against repetition."""

import gymnasium
import numpy as np

from evor_eqx.data.generation.ant_actor import AntActor
from evor_eqx.training.expert.directed_ant import DirectedAnt, collect, walking_speed


def rng(seed=0):
    return np.random.default_rng(seed)


def test_observations_and_rewards_are_those_of_ogbenchs_wrapper():
    from ogbench.online_locomotion.wrappers import GymXYWrapper

    ant, shipped = DirectedAnt(rng()), GymXYWrapper(gymnasium.make("online-ant-v0"))
    shipped.reset()
    shipped.unwrapped.set_state(ant.env.data.qpos.copy(), ant.env.data.qvel.copy())
    shipped.z = ant.direction
    for act in rng(1).uniform(-1, 1, (50, 8)):
        obs, reward, terminated, _, _ = shipped.step(act)
        found, has_failed = ant.step(act, rng())
        np.testing.assert_allclose(found, reward, atol=1e-6)  # warm starts of the solver differ
        np.testing.assert_allclose(ant.obs, obs, atol=1e-4)
        assert has_failed == terminated


def test_the_direction_is_a_new_unit_vector_every_hundred_steps_and_is_what_the_next_step_pays_for():
    steps = collect(DirectedAnt(rng()), None, 250, rng(2))
    directions = steps.obs[:, -2:]
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-6)
    turns = np.flatnonzero((np.diff(directions, axis=0) != 0).any(axis=1)) + 1
    assert turns.tolist() == [100, 200]
    assert np.array_equal(steps.next_obs[:-1], steps.obs[1:])  # no episode ended


def test_an_episode_is_cut_after_a_thousand_steps_and_that_is_no_failure():
    ant = DirectedAnt(rng())
    ant.num_steps = 999
    steps = collect(ant, None, 2, rng(3))
    assert steps.mask.tolist() == [1.0, 1.0]
    assert not np.array_equal(steps.next_obs[0], steps.obs[1])  # another episode began
    assert ant.num_steps == 1


def test_a_torso_outside_its_heights_is_a_failure():
    ant = DirectedAnt(rng())
    qpos = ant.env.data.qpos.copy()
    qpos[2] = 3.0
    ant.env.set_state(qpos, ant.env.data.qvel.copy())
    steps = collect(ant, None, 2, rng())
    assert steps.mask.tolist() == [0.0, 1.0]  # it fell from the sky, then began anew
    assert ant.num_steps == 1


def test_a_restored_ant_goes_on_bit_for_bit():
    ant, other = DirectedAnt(rng()), DirectedAnt(rng(9))
    collect(ant, None, 130, rng(1))
    other.restore(ant.state)
    first, second = (collect(each, None, 200, rng(2)) for each in (ant, other))
    assert np.array_equal(first.obs, second.obs)
    assert np.array_equal(first.reward, second.reward)


def test_speed_is_in_metres_per_second_and_who_stands_has_none(monkeypatch):
    still = AntActor(((np.zeros((16, 29), np.float32), np.zeros(16, np.float32)),))
    assert abs(walking_speed(still)) < 0.1
    monkeypatch.setattr(DirectedAnt, "step", lambda self, act, rng: (0.2, False))  # 0.2 m in 0.1 s
    np.testing.assert_allclose(walking_speed(still), 2.0)
    monkeypatch.setattr(DirectedAnt, "step", lambda self, act, rng: (0.2, True))  # a fall at the first step
    np.testing.assert_allclose(walking_speed(still, num_steps=100), 0.02)
