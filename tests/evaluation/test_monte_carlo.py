"""Recorded states of the physics: the observation there, and returns from there, against the data and naive loops."""

import dataclasses
import functools
import itertools
import time

import numpy as np
import pytest
from tiny import exhibit_without_data

from evor_eqx.config import InferenceConfig
from evor_eqx.data.generation.recipes import RECIPES
from evor_eqx.data.loading import load_arrays
from evor_eqx.data.sources import find_or_make
from evor_eqx.envs.ogbench import maze_layout
from evor_eqx.envs.physics import place
from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.evaluation.monte_carlo import returns_after, returns_from, returns_from_each
from evor_eqx.evaluation.rollout import decision_keys

MAZE, ANT = "pointmaze-medium-navigate-task1", "antmaze-medium-navigate-task1"
PROPRIO = 19  # joint positions (6), velocities (6), gripper's place (3), cos and sin of yaw (2), opening, contact
NUM_ROWS = 501
ARMS = ["cube-double-play", "scene-noisy", "puzzle-3x3-play"]


@functools.cache
def held_out(name, home):
    """A task, and the rows of one held-out episode, which is shorter than the published ones."""
    task = parse_task(name)
    with pytest.MonkeyPatch.context() as patch:
        recipe = dataclasses.replace(RECIPES[task.dataset], episode_steps=NUM_ROWS)
        patch.setitem(RECIPES, task.dataset, recipe)
        source = find_or_make(task.dataset, num_episodes=1)
    return task, load_arrays(source, task, "val")


def physics(arrays, row):
    return {key: arrays[key][row] for key in ("qpos", "qvel", "button_states") if key in arrays}


def placed(task, arrays, rows):
    """Observations of an environment that is put into these rows, one after the other."""
    env = task.make_env()
    env.reset(seed=0)
    return env, np.stack([place(env, **physics(arrays, row)) for row in rows])


@pytest.mark.parametrize("name", [MAZE, ANT])
def test_a_maze_at_a_recorded_state_is_observed_as_it_was_recorded(name, module_home):
    task, arrays = held_out(name, module_home)
    _, obs = placed(task, arrays, range(0, NUM_ROWS - 1, 7))
    np.testing.assert_array_equal(np.float32(obs), arrays["observations"][: NUM_ROWS - 1 : 7])


@pytest.mark.parametrize("name", [MAZE, ANT])
def test_from_a_recorded_state_the_recorded_actions_lead_where_the_episode_went(name, module_home):
    task, arrays = held_out(name, module_home)
    env = task.make_env()
    for row in (0, 50, 130, 400):
        env.reset(seed=row)
        place(env, **physics(arrays, row))
        reached = [env.step(action)[0] for action in arrays["actions"][row : row + 30]]
        recorded = arrays["observations"][row + 1 : row + 31]
        # A row is float32, and the solver of the contacts starts anew. An ant's joints reach speeds of some 10 rad/s.
        np.testing.assert_allclose(reached, recorded, atol=2e-3)
        assert np.abs(recorded[-1, :2] - recorded[0, :2]).max() > 0.1  # it went somewhere, in metres


@pytest.mark.slow
@pytest.mark.parametrize("name", ARMS)
def test_an_arm_at_a_recorded_state_is_observed_as_it_was_recorded_but_for_the_gripper(name, module_home):
    task, arrays = held_out(name, module_home)
    rows = np.arange(0, NUM_ROWS - 1, 7)
    _, obs = placed(task, arrays, rows)
    apart = np.abs(obs - arrays["observations"][rows])
    # Yaw, as cosine and sine, is lost where a cube's pitch is near 90 degrees: only the rounding decides it there.
    for first in {"cube-double-play": [19, 28], "scene-noisy": [19]}.get(name, []):
        w, x, y, z = arrays["observations"][rows, first + 3 : first + 7].T
        apart[np.abs(2 * (w * y - z * x)) > 0.95, first + 7 : first + 9] = 0
    exact = np.r_[0:12, 17, PROPRIO : obs.shape[1]]
    # The arm's joints, the opening, and all objects: float32 of numbers up to 20.
    assert apart[:, exact].max() < 2e-5
    # The gripper moves for one physics step: at most 2 ms at 2.5 m/s is 5 mm, times the observation's factor of 10.
    assert apart[:, 12:17].max() < 0.05
    # Contact is in [0, 1] and mostly the same, but not while the fingers hold something.
    assert apart[:, 18].max() <= 1 and np.median(apart[:, 18]) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ARMS)
def test_reward_and_success_at_a_recorded_state_are_those_of_the_relabelled_row(name, module_home):
    task, arrays = held_out(name, module_home)
    rewards = arrays["rewards"]
    rows = [int(np.flatnonzero(rewards == reward)[0]) for reward in np.unique(rewards)]  # a row for each reward
    env = task.make_env()
    for row in rows:
        env.reset(seed=0)
        place(env, **physics(arrays, row))
        _, reward, terminated, *_ = env.step(np.zeros(5, np.float32))
        assert (reward, terminated) == (rewards[row], arrays["masks"][row] == 0), row
    assert len(rows) > 1


def test_physics_of_another_environment_is_a_user_error(module_home):
    task, arrays = held_out(MAZE, module_home)
    env = task.make_env()
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"'qpos': 3.*expected.*'qpos': 2"):
        place(env, np.zeros(3), arrays["qvel"][0])
    with pytest.raises(UserError, match="button_states"):
        place(env, **physics(arrays, 0), button_states=np.zeros(2, int))


def maze_agent():
    """A small untrained agent, and its base policy alone."""
    agent = exhibit_without_data(MAZE).agent
    return agent, agent.base_policy_agent()


def returns(agent, arrays, row, **options):
    return returns_from(agent, parse_task(MAZE), physics(arrays, row), **options)


def test_returns_of_the_base_policy_are_those_of_the_naive_loop(module_home):
    (_, base), (task, arrays) = maze_agent(), held_out(MAZE, module_home)
    got = returns(base, arrays, 500, seeds=[0, 7], max_steps=43)
    for number, seed in enumerate([0, 7]):
        env = task.make_env()
        env.reset(seed=seed)
        obs, total, step = place(env, **physics(arrays, 500)), 0.0, 0
        while step < 43:
            (key,) = decision_keys(np.array([seed], np.uint32), np.array([step // 5], np.uint32))
            for act in base.act(np.float32(obs), key=key)[: 43 - step]:
                obs, reward, terminated, *_ = env.step(act)
                total, step = total + task.gamma**step * reward, step + 1
                assert not terminated
        assert got.recorded[number] == pytest.approx(total, rel=1e-6)
    np.testing.assert_allclose(got.tail_weight, 0.99**43)  # both were cut off
    np.testing.assert_allclose(got.low, -100)  # a reward of -1 for ever
    np.testing.assert_allclose(got.high, got.recorded)  # the goal at the next step


def test_a_rollout_that_starts_at_the_goal_ends_there_at_once(module_home):
    goal = {"qpos": maze_layout(parse_task(MAZE)).goal[None], "qvel": np.zeros((1, 2))}
    got = returns(maze_agent()[0], goal, 0, seeds=range(3))
    assert got.low.tolist() == got.high.tolist() == [0, 0, 0] and got.is_complete.all()


def near_the_goal(*distances):
    """Rows from which even an untrained policy stumbles into the goal, after different numbers of steps."""
    places = maze_layout(parse_task(MAZE)).goal - np.array([[distance, 0.0] for distance in distances])
    return {"qpos": places, "qvel": np.zeros_like(places)}


def test_with_one_candidate_the_agent_is_the_base_policy_and_with_more_it_is_not(module_home):
    agent, base_agent = maze_agent()
    rows, options = near_the_goal(1.5), {"seeds": range(4), "max_steps": 60}
    base = returns(base_agent, rows, 0, **options)
    one = returns(agent.replace(num_candidates=1), rows, 0, **options)
    np.testing.assert_array_equal(base.recorded, one.recorded)
    few = returns(base_agent, rows, 0, num_envs=2, **options)
    np.testing.assert_array_equal(base.recorded, few.recorded)  # however many run together
    assert len(set(base.recorded)) == 4
    assert not np.array_equal(base.recorded, returns(agent, rows, 0, **options).recorded)


def test_sixteen_rollouts_in_a_maze_answer_while_one_looks(module_home):
    (agent, _), (_, arrays) = maze_agent(), held_out(MAZE, module_home)
    returns(agent, arrays, 400)  # makes environments, compiles
    start = time.process_time()
    returns(agent, arrays, 300)
    assert time.process_time() - start < 4  # processor time, all threads; below one second of wall time when alone


def test_returns_from_several_states_are_those_of_each_alone(module_home):
    agent, task, rows = maze_agent()[0], parse_task(MAZE), near_the_goal(1.2, 1.5, 1.8)
    settings = [InferenceConfig(num_candidates=num, num_returns=4, num_flow_steps=3) for num in (1, 3)]
    places = [physics(rows, index) for index in range(3)]
    sizes = {"max_steps": 60, "num_envs": 5}
    got = returns_from_each(agent, task, places, settings, num_rollouts=2, **sizes)
    assert got.recorded.shape == (2, 3, 2) and len(np.unique(got.recorded[0])) == 6
    for number, inference in enumerate(settings):
        for index, where in enumerate(places):
            seeds = [index, index + len(places)]
            alone = returns_from(agent.replace(inference=inference), task, where, seeds=seeds, max_steps=60)
            np.testing.assert_allclose(got.recorded[number, index], alone.recorded)
            np.testing.assert_allclose(got.low[number, index], alone.low)


def test_returns_after_a_chunk_are_those_of_the_naive_loop(module_home):
    (agent, base), (task, arrays) = maze_agent(), held_out(MAZE, module_home)
    chunks = np.random.default_rng(0).uniform(-1, 1, (2, 3, 10)).astype(np.float32)
    rows = (300, 400)
    got = returns_after(agent, task, [physics(arrays, row) for row in rows], chunks, num_rollouts=2, max_steps=12)
    assert (
        got.recorded.shape == (2, 3, 2) and len(np.unique(got.recorded)) == 1
    )  # far from the goal: every step costs the same
    near = near_the_goal(1.1, 1.4)
    places = [physics(near, index) for index in (0, 1)]
    got = returns_after(agent, task, places, chunks, num_rollouts=2, max_steps=40, num_envs=5)
    for place_index, candidate, rollout in itertools.product(range(2), range(3), range(2)):
        seed = rollout * 6 + place_index * 3 + candidate
        env = task.make_env()
        env.reset(seed=seed)
        obs, total, step, terminated = place(env, **places[place_index]), 0.0, 0, False
        while step < 40 and not terminated:
            (key,) = decision_keys(np.array([seed], np.uint32), np.array([step // 5], np.uint32))
            chunk = base.act(np.float32(obs), key=key)
            for act in np.reshape(chunks[place_index, candidate], (5, 2)) if step == 0 else chunk:
                obs, reward, terminated, *_ = env.step(act)
                total, step = total + task.gamma**step * reward, step + 1
                if terminated:
                    break
        assert got.recorded[place_index, candidate, rollout] == pytest.approx(total, rel=1e-6)
        assert got.is_complete[place_index, candidate, rollout] == terminated


@pytest.mark.parametrize("options", [{"max_steps": 0}, {"seeds": []}, {"num_envs": 0}, {"seeds": [-1]}])
def test_bad_counts_are_user_errors(module_home, options):
    with pytest.raises(UserError, match="expected"):
        returns(maze_agent()[0], held_out(MAZE, module_home)[1], 0, **options)
