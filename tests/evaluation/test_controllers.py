"""OGBench's controller for cubes: the order of its moves, and its parts in an agent's episodes."""

import jax
import numpy as np
import pytest
from tiny import CHUNK_LENGTH, exhibit_without_data

from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.evaluation.controllers import CubeController, _Assisted, assisted_episodes, next_move
from evor_eqx.evaluation.recording import record

LEFT, RIGHT, MIDDLE = (np.array([0.425, y, 0.02]) for y in (-0.1, 0.1, 0.0))
UP = np.array([0.0, 0.0, 0.04])


def places(*cubes):
    return np.stack(cubes)


def test_a_cube_that_is_not_at_its_goal_goes_there_and_none_moves_if_all_are():
    assert next_move(places(LEFT, RIGHT), places(LEFT, RIGHT), None) is None
    cube, goal = next_move(places(LEFT, RIGHT), places(LEFT, MIDDLE), None)
    assert cube == 1 and np.array_equal(goal, MIDDLE)


def test_a_cube_waits_until_its_goal_is_free_and_until_what_it_is_put_on_is_there():
    cube, goal = next_move(places(LEFT, MIDDLE), places(MIDDLE, RIGHT), None)
    assert cube == 1 and np.array_equal(goal, RIGHT)
    for tower in (places(MIDDLE, MIDDLE + UP), places(MIDDLE + UP, MIDDLE)):
        lower = int(np.argmin(tower[:, 2]))
        assert next_move(places(LEFT, RIGHT), tower, None)[0] == lower
        cubes = places(LEFT, RIGHT)
        cubes[lower] = MIDDLE
        assert next_move(cubes, tower, None)[0] == 1 - lower


def test_in_a_swap_one_goes_aside_and_the_one_in_the_gripper_goes_on():
    cubes, goals = places(LEFT, RIGHT), places(RIGHT, LEFT)
    cube, aside = next_move(cubes, goals, None)
    assert min(np.linalg.norm(aside - taken) for taken in (LEFT, RIGHT)) > 0.1
    lifted = cubes.copy()
    lifted[1 - cube] += 2 * UP
    assert next_move(lifted, goals, 1 - cube)[0] == 1 - cube
    after = cubes.copy()
    after[cube] = aside
    moved, goal = next_move(after, goals, None)
    assert moved == 1 - cube and np.array_equal(goal, goals[moved])


@pytest.mark.parametrize("name", ["cube-single-play-task4", "cube-double-play-task4", "cube-double-play-task5"])
def test_the_controller_reaches_the_goal_and_leaves_the_environment_to_its_caller(name):
    task, h = parse_task(name), 5
    controller, env = CubeController(task, h), task.make_env()
    env.reset(seed=3)
    for _ in range(200 // h):
        before = env.unwrapped.data.qpos.copy()
        chunk = controller.chunk(env)
        np.testing.assert_array_equal(env.unwrapped.data.qpos, before)
        for action in chunk.reshape(h, 5):
            _, _, terminated, _, _ = env.step(action)
            if terminated:
                return
    pytest.fail("the goal was not reached in 200 steps")


def test_its_part_is_what_it_says():
    exhibit = exhibit_without_data("cube-single-play-task2")
    agent, task = exhibit.agent, exhibit.task
    (alone,) = assisted_episodes(agent, task, "nothing", [5])
    recorded = record(agent, task, 5, frames=False).episode
    assert (alone.ret, alone.length, alone.success) == (recorded.ret, recorded.length, recorded.success)
    (controlled,) = assisted_episodes(agent, task, "everything", [5])
    assert controlled.success and controlled.length < 100


def test_it_chooses_the_nearest_candidate_or_offers_its_chunk_among_them():
    exhibit, h = exhibit_without_data("cube-single-play-task2"), CHUNK_LENGTH
    agent = exhibit.agent.replace(tau_q=np.inf)  # any candidate
    controller, env = CubeController(exhibit.task, h), exhibit.task.make_env()
    obs = np.float32(env.reset(seed=5)[0])[None]
    chunk, offered = controller.chunk(env), 0
    for number in range(60):
        keys = jax.random.split(jax.random.key(number), 1)
        candidates = agent.decide_each(obs, keys, [agent.inference]).candidates[0]
        chosen, picked = (
            _Assisted(agent, part, controller, env).act_each(obs, keys, [agent.inference])[0]
            for part in ("choice", "candidate")
        )
        nearest = min(candidates, key=lambda candidate: sum((candidate - chunk) ** 2))
        np.testing.assert_array_equal(chosen, nearest)
        offered += np.array_equal(picked, chunk)
        assert np.array_equal(picked, chunk) or any(np.array_equal(picked, each) for each in candidates[:-1])
    assert 8 <= offered <= 32  # of 60 by a chance of 1/3: 20 with a deviation of 3.7


def test_other_tasks_and_parts_are_refused():
    with pytest.raises(UserError, match="task1-v0 has no controller here: expected a task of a cube dataset"):
        CubeController(parse_task("scene-play-task1"), 5)
    exhibit = exhibit_without_data("cube-single-play-task2")
    with pytest.raises(UserError, match="part: got 'all', expected one of nothing, choice, candidate, everything"):
        assisted_episodes(exhibit.agent, exhibit.task, "all", [0])
