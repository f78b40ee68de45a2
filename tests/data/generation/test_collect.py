"""Collected data against the published layout, OGBench's own loader and controllers, and against repetition."""

import dataclasses
import hashlib
import itertools
import platform
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from evor_eqx.data.generation import collect
from evor_eqx.data.generation.ant_actor import shipped_actor
from evor_eqx.data.generation.arm import ArmCollector, is_healthy
from evor_eqx.data.generation.plan import compute_plan
from evor_eqx.data.generation.recipes import RECIPES
from evor_eqx.data.manifests import val_path
from evor_eqx.errors import UserError

MAZE, ANT, CUBE = "pointmaze-medium-navigate-v0", "antmaze-medium-navigate-v0", "cube-single-play-v0"


@pytest.fixture
def short(monkeypatch):
    """Make a dataset's episodes short; the recipe travels to the workers with the work."""

    def shorten(dataset: str, episode_steps: int = 40):
        recipe = dataclasses.replace(RECIPES[dataset], episode_steps=episode_steps)
        monkeypatch.setitem(RECIPES, dataset, recipe)
        return recipe

    return shorten


def digests(path: Path) -> list[str]:
    return [hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, val_path(path))]


def sequence(index: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([1, index])


# The recipes.


def test_recipes_have_the_published_sizes():
    sizes = {name: (r.num_episodes, r.episode_steps) for name, r in RECIPES.items()}
    assert sizes["pointmaze-large-navigate-v0"] == sizes["scene-play-v0"] == (1000, 1001)
    assert sizes["pointmaze-giant-navigate-v0"] == (500, 2001)
    assert sizes["pointmaze-giant-stitch-v0"] == (5000, 201)
    assert sizes["cube-triple-noisy-v0"] == (3000, 1001)
    assert sizes[ANT] == (1000, 1001)
    assert sizes["antmaze-giant-navigate-v0"] == (500, 2001)
    assert sizes["antmaze-giant-stitch-v0"] == (5000, 201)
    assert sizes["antmaze-teleport-explore-v0"] == (10_000, 501)


def test_recipes_have_the_published_noise():
    noise = {name: (r.noise, r.p_random_action) for name, r in RECIPES.items()}
    assert noise[MAZE] == (0.5, 0.0)
    assert noise[CUBE] == (0.1, 0.0)
    assert noise["antmaze-large-stitch-v0"] == (0.2, 0.0)
    assert noise["antmaze-large-explore-v0"] == (1.0, 0.0)
    assert noise["scene-noisy-v0"] == (0.1, 0.1)
    assert noise["puzzle-4x4-noisy-v0"] == (0.1, 0.2)


# Episodes.


@pytest.mark.parametrize(
    "dataset", ["pointmaze-teleport-stitch-v0", "antmaze-teleport-navigate-v0", CUBE, "scene-noisy-v0"]
)
def test_an_episode_does_not_depend_on_those_before_it(short, dataset):
    recipe = short(dataset, 150)
    used, new = collect.make_collector(recipe), collect.make_collector(recipe)
    for index in (0, 1):
        used.episode(sequence(index))
    late, early = used.episode(sequence(2)), new.episode(sequence(2))
    assert all(np.array_equal(late[key], early[key]) for key in early)


def test_maze_actions_are_clipped_gaussians_around_ogbenchs_direction(short):
    collector = collect.make_collector(short(MAZE, 3001))
    maze, directions, act = collector.maze, [], collector._action

    def act_and_ask(*arguments):
        subgoal, _ = maze.get_oracle_subgoal(maze.get_xy(), maze.cur_goal_xy)
        offset = subgoal - maze.get_xy()
        directions.append(offset / (np.linalg.norm(offset) + 1e-6))
        return act(*arguments)

    collector._action = act_and_ask
    actions, directions = collector.episode(sequence(0))["actions"], np.array(directions)
    distribution = scipy.stats.norm(directions, 0.5)
    low, high, inside = distribution.cdf(-1), distribution.cdf(1), np.abs(actions) < 1
    level = ((distribution.cdf(actions) - low) / (high - low))[inside]  # uniform, if the distribution is right
    assert scipy.stats.kstest(level, "uniform").pvalue > 0.01
    np.testing.assert_allclose((actions == 1).mean(), (1 - high).mean(), atol=0.02)  # three deviations of the mean
    np.testing.assert_allclose((actions == -1).mean(), low.mean(), atol=0.02)


def test_ant_actions_are_clipped_gaussians_around_the_actors_action(short):
    collector = collect.make_collector(short(ANT, 501))
    rows = collector.episode(sequence(0))
    maze, actor = collector.maze, shipped_actor()
    errors = []
    for obs, action in zip(rows["observations"], rows["actions"], strict=True):
        # The goal is not in the data: one of the four neighbouring cells, or the cell itself, is the next.
        i, j = maze.xy_to_ij(obs[:2])
        offsets = [
            np.array(maze.ij_to_xy((i + di, j + dj))) - obs[:2] for di, dj in [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
        ]
        means = [actor.mean_action(np.r_[obs[2:], offset / (np.linalg.norm(offset) + 1e-6)]) for offset in offsets]
        nearest = min((action - mean for mean in means), key=np.linalg.norm)
        errors.append(nearest[np.abs(action) < 0.5])  # far from where noise is clipped
    assert 0.15 < np.concatenate(errors).std() < 0.22  # below 0.2: the nearest of five was taken


def test_an_exploring_ant_keeps_a_random_direction_for_ten_steps(short):
    collector = collect.make_collector(short("antmaze-medium-explore-v0", 25))
    directions, act = [], collector._action

    def act_and_note(obs, direction, noise):
        directions.append(tuple(direction))
        return act(obs, direction, noise)

    collector._action = act_and_note
    collector.episode(sequence(0))
    assert [directions.count(each) for each in dict.fromkeys(directions)] == [10, 10, 5]
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)


def test_an_ant_reaches_cell_after_cell(short):
    collector = collect.make_collector(short(ANT, 1001))
    places = collector.episode(sequence(0))["observations"][:, :2]
    cells = [collector.maze.xy_to_ij(place) for place in places.tolist()]
    moves = sum(first != second for first, second in itertools.pairwise(cells))
    assert moves >= 10  # of 4 m each, in 100 s
    assert set(cells) <= set(collector.cells)


@pytest.mark.parametrize("env_id", ["medium", "large", "giant", "teleport"])
def test_goal_cells_and_nearby_cells_follow_from_the_map(env_id):
    collector = collect.make_collector(RECIPES[f"pointmaze-{env_id}-stitch-v0"])
    free = {tuple(cell) for cell in collector.cells}
    for i, j in free:
        neighbours = {(di, dj) for di, dj in [(1, 0), (-1, 0), (0, 1), (0, -1)] if (i + di, j + dj) in free}
        straight = neighbours in ({(1, 0), (-1, 0)}, {(0, 1), (0, -1)})
        assert ((i, j) in collector.goal_cells) != straight
    start = collector.cells[0]
    reached = [{start}]
    for _ in range(4):
        step = {(i + di, j + dj) for i, j in reached[-1] for di, dj in [(1, 0), (-1, 0), (0, 1), (0, -1)]} & free
        reached.append(step - set().union(*reached))
    assert set(collector._cells_four_away(start)) == (reached[-1] or {start})


def test_the_fast_plan_is_ogbenchs(short):
    collector = collect.make_collector(short("scene-play-v0"))
    arm = collector.env.unwrapped
    for controller in collector.controllers.values():
        for seed in range(10):
            controller.reset(*_target(collector, seed))
            fast = controller._plan
            controller.compute_plan = super(type(controller), controller).compute_plan
            controller.reset(*_target(collector, seed))
            del controller.compute_plan
            np.testing.assert_allclose(fast, controller._plan, atol=1e-9)
    assert type(controller).compute_plan is compute_plan
    arm.close()


def _target(collector, seed: int):
    collector.env.reset(seed=seed)  # seeds NumPy's generator, from which the plan draws
    return collector.env.unwrapped.set_new_target()


@pytest.mark.parametrize(("dataset", "low", "high"), [(CUBE, 0.0, 0.0), ("cube-double-play-v0", 0.0, 0.25)])
def test_the_stacking_probability_is_drawn_once_an_episode(short, dataset, low, high):
    collector = collect.make_collector(short(dataset, 400))
    arm, used = collector.env.unwrapped, []
    set_new_target = type(arm).set_new_target
    arm.set_new_target = lambda p_stack=None, **kw: (used.append(p_stack), set_new_target(arm, **kw))[1]
    collector.episode(sequence(0))
    targets = [p for p in used if p is not None]
    assert len(targets) >= 1
    assert len(set(targets)) == 1
    assert low <= targets[0] <= high


def test_the_health_check_knows_the_table_and_the_drawer():
    def qpos(y, z):
        rows = np.zeros((5, 25))
        rows[3, 15:17] = y, z
        return rows

    assert is_healthy(qpos(0.1, 0.02))
    assert is_healthy(qpos(-0.35, 0.066))  # in the drawer
    assert not is_healthy(qpos(-0.35, 0.02))  # on the floor beside it
    assert not is_healthy(qpos(-0.35, 0.1))
    assert not is_healthy(qpos(0.29, 0.02))


def test_an_unhealthy_episode_is_drawn_again():
    collector = object.__new__(ArmCollector)
    collector.recipe = RECIPES["scene-play-v0"]
    attempts = iter([np.full((3, 25), 0.3), np.zeros((3, 25))])
    seeds = []
    collector._attempt = lambda rng, env_seed: (seeds.append(env_seed), {"qpos": next(attempts)})[1]
    assert (collector.episode(sequence(0))["qpos"] == 0).all()
    assert seeds[0] is not None
    assert seeds[1:] == [None]


# Files.


def test_the_files_have_the_published_keys_and_types(short, tmp_path):
    short("puzzle-3x3-noisy-v0", 12)
    path = collect.generate("puzzle-3x3-noisy", num_episodes=2, folder=tmp_path)
    with np.load(path) as file:
        found = {key: (file[key].dtype.name, file[key].shape) for key in file}
    assert found == {
        "observations": ("float32", (24, 55)),
        "actions": ("float32", (24, 5)),
        "terminals": ("bool", (24,)),
        "qpos": ("float32", (24, 23)),
        "qvel": ("float32", (24, 23)),
        "button_states": ("int64", (24, 9)),
    }
    with np.load(val_path(path)) as file:
        assert np.flatnonzero(file["terminals"]).tolist() == [11]


@pytest.mark.parametrize("dataset", [ANT, CUBE])
def test_ogbench_loads_and_rewards_what_was_generated(short, tmp_path, dataset):
    import ogbench

    short(dataset)
    path = collect.generate(dataset, num_episodes=2, folder=tmp_path)
    name = dataset.replace("-v0", "-singletask-task2-v0")
    _, train, val = ogbench.make_env_and_datasets(name, dataset_path=str(path))
    assert len(train["rewards"]) == len(train["next_observations"]) == 2 * 39
    assert len(val["masks"]) == 39


@pytest.mark.parametrize("dataset", [MAZE, ANT])
def test_the_number_of_workers_changes_no_byte_and_few_episodes_are_the_first_of_many(short, tmp_path, dataset):
    short(dataset)
    one, two, many = (
        collect.generate(dataset, num_episodes=n, num_workers=w, folder=tmp_path / name, seed=5)
        for name, n, w in (("one", 3, 1), ("two", 3, 2), ("many", 5, 2))
    )
    assert digests(one) == digests(two)
    with np.load(one) as few, np.load(many) as more:
        assert all(np.array_equal(few[key], more[key][:120]) for key in few)
    assert not list(tmp_path.glob("*/*.parts"))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="another processor has other kernels")
def test_a_processor_for_which_openblas_has_another_kernel_changes_no_byte(short, monkeypatch, tmp_path):
    short(CUBE, 300)
    here = collect.generate(CUBE, num_episodes=1, folder=tmp_path / "here")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "NEHALEM")
    assert digests(collect.generate(CUBE, num_episodes=1, folder=tmp_path / "there")) == digests(here)


def test_another_seed_gives_other_data_and_splits_differ(short, tmp_path):
    short(MAZE)
    paths = [collect.generate(MAZE, num_episodes=1, seed=seed, folder=tmp_path) for seed in (0, 1)]
    files = [np.load(file)["actions"] for path in paths for file in (path, val_path(path))]
    assert len({file.tobytes() for file in files}) == 4


def test_what_is_made_is_not_made_again_unless_the_recipe_changed(short, tmp_path):
    short(MAZE)
    path = collect.generate(MAZE, num_episodes=1, folder=tmp_path)
    before = path.stat().st_mtime_ns
    assert collect.generate(MAZE, num_episodes=1, folder=tmp_path).stat().st_mtime_ns == before
    short(MAZE, 50)
    with np.load(collect.generate(MAZE, num_episodes=1, folder=tmp_path)) as file:
        assert len(file["terminals"]) == 50


def test_a_workers_error_is_one_clear_error(monkeypatch, tmp_path):
    recipe = dataclasses.replace(RECIPES[MAZE], env_id="pointmaze-nowhere-v0")
    monkeypatch.setitem(RECIPES, MAZE, recipe)
    with pytest.raises(RuntimeError, match=r"a worker failed at (train|val) episodes 0 to 0 of pointmaze-nowhere"):
        collect.generate(MAZE, num_episodes=1, folder=tmp_path)


@pytest.mark.parametrize(
    ("dataset", "options"),
    [(MAZE, {"num_episodes": 0}), (MAZE, {"seed": -1}), (MAZE, {"num_workers": 0})],
)
def test_what_cannot_be_made_is_refused(dataset, options, tmp_path):
    with pytest.raises(UserError):
        collect.generate(dataset, folder=tmp_path, **options)
