"""Names against OGBench's registry; seeds against repetition."""

import dataclasses
import tempfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from evor_eqx.data.generation.collect import make_collector
from evor_eqx.data.generation.recipes import RECIPES
from evor_eqx.envs.dataset_names import ARM_ENVIRONMENTS, DATASETS, dataset_name
from evor_eqx.envs.ogbench import SlipperyActions, maze_layout
from evor_eqx.envs.tasks import NUM_TASKS, OgbenchTask, all_tasks, parse_task
from evor_eqx.errors import UserError


def rollout(env: gymnasium.Env, seed: int, num_steps: int = 25) -> np.ndarray:
    acts = np.random.default_rng(0).uniform(-1, 1, (num_steps, *env.action_space.shape))
    return np.stack([env.reset(seed=seed)[0], *(env.step(act)[0] for act in acts)])


@pytest.mark.parametrize("name", ["pointmaze-medium-navigate", "pointmaze-medium-navigate-v0"])
def test_a_dataset_name_gets_its_version(name):
    assert dataset_name(name) == "pointmaze-medium-navigate-v0"


def test_an_unknown_dataset_is_answered_with_the_nearest_names():
    with pytest.raises(UserError, match=r"'cube-singel-play'.*cube-single-play-v0"):
        dataset_name("cube-singel-play")


@pytest.mark.parametrize("name", ["cube-single-play-singletask-task2-v0", "cube-single-play-task2", "cube-single-play"])
def test_long_short_and_default_names_mean_the_same_task(name):
    task = parse_task(name)
    assert task.short_name == "cube-single-play-task2"
    assert (task.name, task.env_id) == ("cube-single-play-singletask-task2-v0", "cube-single-singletask-task2-v0")


@pytest.mark.parametrize("name", ["scene-play-sparse-singletask-task4-v0", "scene-play-sparse-task4"])
def test_a_name_says_that_the_reward_is_sparse(name):
    task = parse_task(name)
    assert (task.name, task.short_name) == ("scene-play-sparse-singletask-task4-v0", "scene-play-sparse-task4")
    assert (task.environment, task.group) == ("scene-sparse", "scene-play-sparse")
    assert task == dataclasses.replace(parse_task("scene-play-task4"), reward="sparse")
    assert [other.reward for other in all_tasks(task)] == ["sparse"] * NUM_TASKS
    assert task.num_conditions == 1


def test_a_sparse_reward_is_0_at_the_goal_and_minus_1_elsewhere_with_the_same_success():
    outcomes = []
    for name in ("scene-play-task1", "scene-play-sparse-task1"):  # drawer and window are to be opened
        env = parse_task(name, "post").make_env()
        env.reset(seed=0)
        steps = []
        for drawer, window in ((0.0, 0.0), (-0.16, 0.0), (-0.16, 0.2)):
            env.unwrapped._data.joint("drawer_slide").qpos[0] = drawer
            env.unwrapped._data.joint("window_slide").qpos[0] = window
            _, reward, terminated, _, info = env.step(np.zeros(5))
            steps.append((reward, terminated, info["success"]))
        outcomes.append(list(zip(*steps, strict=True)))
        env.close()
    (dense, *ends), (sparse, *sparse_ends) = outcomes
    assert (dense, sparse) == ((-2, -1, 0), (-1, -1, 0))
    assert ends == sparse_ends == [(False, False, True)] * 2  # terminated, success


@pytest.mark.parametrize(
    ("name", "timing"), [("cube-single-play-task6", "pre"), ("cube-single-play-task0", "pre"), ("scene-play", "later")]
)
def test_a_task_or_timing_out_of_range_is_refused(name, timing):
    with pytest.raises(UserError, match="expected"):
        parse_task(name, timing)


def test_long_tasks_discount_less():
    gammas = {name: parse_task(name).gamma for name in ("cube-double-play", "pointmaze-giant-stitch", "scene-play")}
    assert gammas == {"cube-double-play": 0.995, "pointmaze-giant-stitch": 0.995, "scene-play": 0.99}


@pytest.mark.parametrize("name", ["pointmaze-medium-navigate", *(f"{env}-play" for env in ARM_ENVIRONMENTS)])
def test_rewards_count_unmet_conditions(name):
    task = parse_task(name)
    env = task.make_env()
    env.reset(seed=0)
    rewards = [env.step(np.zeros(env.action_space.shape))[1] for _ in range(2)]
    assert all(-task.num_conditions <= reward < 0 for reward in rewards)
    counts = getattr(env.unwrapped, "_compute_successes", lambda: [False])()
    assert task.num_conditions == sum(np.size(count) for count in counts)
    env.close()


@pytest.mark.parametrize(
    ("name", "family", "is_maze", "is_pointmaze"),
    [
        ("pointmaze-medium-slippery-navigate", "pointmaze", True, True),
        ("antmaze-large-explore", "antmaze", True, False),
        ("cube-single-play", "cube", False, False),
        ("scene-play-sparse", "scene", False, False),
        ("puzzle-3x3-noisy", "puzzle", False, False),
    ],
)
def test_a_task_knows_its_family(name, family, is_maze, is_pointmaze):
    task = parse_task(name)
    assert (task.family, task.is_maze, task.is_pointmaze) == (family, is_maze, is_pointmaze)


def test_a_task_of_an_arm_has_no_maze():
    with pytest.raises(UserError, match="cube-single-play-singletask-task2-v0 has no maze"):
        maze_layout(parse_task("cube-single-play"))


def test_the_action_space_of_an_arm_keeps_its_seed():
    spaces = []
    for _ in range(2):
        env = parse_task("cube-single-play").make_env()
        env.unwrapped.action_space.seed(3)
        spaces.append(env.unwrapped.action_space.sample())
    assert np.array_equal(*spaces)


def test_ogbench_registers_every_task_and_no_sixth():
    import ogbench  # noqa: F401

    published = [dataset for dataset in DATASETS if "slippery" not in dataset]
    env_ids = {OgbenchTask(dataset, task_id).env_id for dataset in published for task_id in range(1, NUM_TASKS + 1)}
    assert env_ids <= set(gymnasium.registry)
    assert "cube-single-singletask-task6-v0" not in gymnasium.registry


@pytest.mark.parametrize(
    ("dataset", "env_id"),
    [
        ("pointmaze-medium-navigate", "pointmaze-medium-singletask-v0"),
        ("antmaze-large-explore", "antmaze-large-singletask-v0"),
        ("cube-double-play", "cube-double-singletask-v0"),
        ("scene-noisy", "scene-singletask-v0"),
        ("puzzle-3x3-play", "puzzle-3x3-singletask-v0"),
        ("puzzle-4x4-play", "puzzle-4x4-singletask-v0"),
    ],
)
def test_the_default_task_is_ogbenchs(dataset, env_id):
    import ogbench  # noqa: F401

    assert parse_task(dataset).task_id == gymnasium.make(env_id).unwrapped._reward_task_id


@pytest.mark.parametrize("name", ["pointmaze-teleport-navigate", "cube-double-play", "scene-play"])
def test_the_same_seed_repeats_an_episode_in_a_used_and_in_a_new_environment(name):
    env = parse_task(name).make_env()
    first = rollout(env, seed=3)
    other = rollout(env, seed=4)
    assert np.array_equal(rollout(env, seed=3), first)
    assert np.array_equal(rollout(parse_task(name).make_env(), seed=3), first)
    assert not np.array_equal(other, first)


def test_reward_timing_moves_the_success_by_one_step():
    def first_success(timing):
        env = parse_task("pointmaze-medium-navigate-task1", timing).make_env()
        env.reset(seed=0)
        env.unwrapped.set_xy(np.add(env.unwrapped.cur_goal_xy, [1.05, 0.0]))  # success is within 1.0
        return [env.step(np.array([-0.5, 0.0]))[1:3] for _ in range(2)]

    assert first_success("post")[0] == (0.0, True)
    assert first_success("pre") == [(-1.0, False), (0.0, True)]


def test_slippery_actions_are_the_asked_ones_plus_gaussian_noise_clipped():
    env = SlipperyActions(parse_task("pointmaze-medium-navigate-task1").make_env(), std=0.5)
    env.reset(seed=3)
    executed = np.stack([env.action(np.array([0.5, -0.5])) for _ in range(4000)])
    noise = np.random.default_rng(0).normal(0.0, 0.5, (100_000, 2))
    reference = np.clip(np.array([0.5, -0.5]) + noise, -1, 1)
    # Standard errors of 4000 draws: 0.007 of the mean, 0.005 of the deviation.
    np.testing.assert_allclose(executed.mean(axis=0), reference.mean(axis=0), atol=0.03)
    np.testing.assert_allclose(executed.std(axis=0), reference.std(axis=0), atol=0.02)


def test_the_data_of_a_slippery_maze_do_not_show_the_noise(tmp_path):
    """Far from walls a point moves by 0.2 times the executed action; the recorded one explains the plain maze only."""

    def unexplained(dataset):
        recipe = dataclasses.replace(RECIPES[dataset], episode_steps=200)
        rows = make_collector(recipe).episode(np.random.SeedSequence(0))
        moved = np.diff(rows["observations"], axis=0) / 0.2
        return np.abs(moved - rows["actions"][:-1])

    assert np.median(unexplained("pointmaze-medium-navigate-v0")) < 0.01
    assert np.median(unexplained("pointmaze-medium-slippery-navigate-v0")) > 0.2


def test_making_a_maze_leaves_no_file_behind(tmp_path, monkeypatch):
    """OGBench writes its XML where every thread of the process does, and the file is removed from there."""
    mkstemp, written = tempfile.mkstemp, []

    def recorded(*args, **kwargs):
        handle, name = mkstemp(*args, **kwargs)
        written.append(Path(name))
        return handle, name

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "mkstemp", recorded)
    env = parse_task("pointmaze-medium-navigate-task1").make_env()
    env.reset(seed=0)
    env.close()
    assert [file.parent for file in written] == [tmp_path]
    assert list(tmp_path.iterdir()) == []
    assert tempfile.gettempdir() == str(tmp_path)


@pytest.mark.parametrize("maze", ["medium", "teleport"])
def test_free_cells_are_those_where_ogbench_sees_no_wall(maze):
    task = parse_task(f"pointmaze-{maze}-navigate-task1")
    layout, env = maze_layout(task), task.make_env()
    env.reset(seed=0)
    world = env.unwrapped
    ijs = [world.xy_to_ij(xy) for xy in layout.free_cells]
    assert len(set(ijs)) == len(ijs) == np.sum(np.array(world.maze_map) == 0)
    for ij, xy in zip(ijs, layout.free_cells, strict=True):
        assert world.maze_map[ij] == 0
        np.testing.assert_array_equal(world.ij_to_xy(ij), xy)
    assert any((layout.free_cells == layout.goal).all(axis=1))
    env.close()


def test_whoever_comes_to_an_entrance_of_a_teleport_reappears_at_an_exit():
    task = parse_task("pointmaze-teleport-navigate-task1")
    layout, env = maze_layout(task), task.make_env()
    for entrance in layout.entrances:
        env.reset(seed=0)
        env.unwrapped.set_xy(entrance)
        env.step(np.zeros(2))
        assert np.linalg.norm(layout.exits - env.unwrapped.get_xy(), axis=1).min() < 0.5
    assert len(layout.entrances) == 2 and len(layout.exits) == 3
    assert len(maze_layout(parse_task("pointmaze-medium-navigate-task1")).entrances) == 0
    env.close()


def test_a_task_with_its_own_discount_is_the_task_and_another_one_stays_with_all_tasks():
    task = parse_task("scene-play-task4")
    assert task.with_discount(None) == task.with_discount(0.99) == task and task.gamma == 0.99
    far = task.with_discount(0.999)
    assert far.gamma == 0.999 and far != task and far.name == task.name
    assert {each.gamma for each in all_tasks(far)} == {0.999}
    assert far.with_discount(0.99) == task and parse_task("cube-double-play").gamma == 0.995


@pytest.mark.parametrize(
    ("name", "low"),
    [("pointmaze-medium-navigate", -100), ("scene-play-task2", -500), ("scene-play-sparse-task2", -100)],
)
def test_the_least_return_is_that_of_meeting_no_condition_for_ever(name, low):
    np.testing.assert_allclose(parse_task(name).return_bounds, (low, 0))  # gamma = 0.99
