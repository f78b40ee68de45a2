"""The law of OGBench's datasets: who acts, with which noise, for how long. One recipe a dataset, one episode a call.

Mazes: a point goes along the shortest path to random goals (`navigate`: a new goal at each success; `stitch`: one goal,
four cells away), with Gaussian noise on a unit direction. Arms: OGBench's own controllers, `play` (a noisy plan fixed
in advance) or `noisy` (closed loop, a noise level per episode, some actions uniform). All numbers are OGBench's.
"""

import functools
import importlib
import math
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from evor_eqx.data.generation.plan import compute_plan
from evor_eqx.envs.ogbench import SlipperyActions, seeded_env
from evor_eqx.envs.tasks import GENERATED, environment

Cell = tuple[int, int]
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """What makes a dataset, with the published numbers as defaults."""

    env_id: str  # the environment without a task
    kind: str  # navigate, stitch, play or noisy
    noise: float  # standard deviation of the noise, in units of the action (play, noisy: see `ArmCollector`)
    num_episodes: int = 1000  # training episodes; a tenth as many for validation
    episode_steps: int = 1001  # rows of an episode: one state and action each; the last row ends it
    p_random_action: float = 0.0  # probability that an action is uniform in the action box (noisy)


def _recipe(dataset: str) -> Recipe:
    kind, env_id = dataset.split("-")[-2], f"{environment(dataset)}-v0"
    match kind:
        case "stitch":
            return Recipe(env_id, kind, noise=0.5, num_episodes=5000, episode_steps=201)
        case "navigate" if "giant" in env_id:
            return Recipe(env_id, kind, noise=0.5, num_episodes=500, episode_steps=2001)
        case "navigate":
            return Recipe(env_id, kind, noise=0.5)
    p_random_action = {"play": 0.0, "noisy": 0.2 if "puzzle" in env_id else 0.1}[kind]
    return Recipe(env_id, kind, 0.1, 3000 if "triple" in env_id else 1000, p_random_action=p_random_action)


RECIPES = {dataset: _recipe(dataset) for dataset in GENERATED}


def make_collector(recipe: Recipe) -> "MazeCollector | ArmCollector":
    """The collector of a recipe; makes the environment, so it is worth keeping (one second for the arms)."""
    return MazeCollector(recipe) if recipe.kind in ("navigate", "stitch") else ArmCollector(recipe)


@dataclass
class MazeCollector:
    """Collects episodes of a point in a maze."""

    recipe: Recipe
    env: gymnasium.Env = field(init=False, repr=False)

    def __post_init__(self):
        self.env = seeded_env(self.recipe.env_id, terminate_at_goal=False)
        self.maze: Any = self.env.unwrapped
        slippery = isinstance(self.env.env, SlipperyActions)  # type: ignore[attr-defined]
        self.step = self.env.step if slippery else self.maze.step  # the bare one is several times faster
        free = self.maze.maze_map == 0
        self.cells: list[Cell] = [(i, j) for i, j in np.argwhere(free).tolist()]
        self.goal_cells = [cell for cell in self.cells if not _is_hallway(free, cell)]
        # OGBench searches the whole maze at each step; the answer depends on the two cells only.
        self.next_cell_centre = functools.cache(self._next_cell_centre)

    def episode(self, seed: np.random.SeedSequence) -> Arrays:
        """One episode; a function of the recipe and the seed alone."""
        maze, recipe, rng = self.maze, self.recipe, np.random.default_rng(seed)
        start = self._draw(rng, self.cells)
        goal = self._draw(rng, self.goal_cells if recipe.kind == "navigate" else self._cells_four_away(start))
        obs, _ = self.env.reset(seed=_integer(seed), options={"task_info": {"init_ij": start, "goal_ij": goal}})
        noise = rng.normal(0.0, recipe.noise, (recipe.episode_steps, 2)).tolist()
        rows = _empty_rows(recipe, obs, maze)
        for step in range(recipe.episode_steps):
            action = self._action(noise[step])
            next_obs, _, _, _, info = self.step(action)
            _record(rows, step, obs, action, info)
            obs = next_obs
            if recipe.kind == "navigate" and info["success"]:
                cell = self._draw(rng, self.goal_cells)
                maze.set_goal(goal_xy=maze.add_noise(maze.ij_to_xy(cell)))
        return rows

    def _action(self, noise: list[float]) -> np.ndarray:
        """Unit direction to the next cell plus noise, clipped to the box (plain floats: arrays of two are slower)."""
        x, y = self.maze.data.qpos.tolist()
        target_x, target_y = self.next_cell_centre(
            self.maze.xy_to_ij((x, y)), self.maze.xy_to_ij(self.maze.cur_goal_xy)
        )
        dx, dy = target_x - x, target_y - y
        norm = math.hypot(dx, dy) + 1e-6
        return np.array([_clip(dx / norm + noise[0]), _clip(dy / norm + noise[1])])

    def _next_cell_centre(self, start: Cell, goal: Cell) -> tuple[float, float]:
        centre, _ = self.maze.get_oracle_subgoal(self.maze.ij_to_xy(start), self.maze.ij_to_xy(goal))
        return tuple(centre.tolist())

    def _cells_four_away(self, start: Cell) -> list[Cell]:
        """Cells at path length 4; the start itself if there is none."""
        _, distance = self.maze.get_oracle_subgoal(self.maze.ij_to_xy(start), self.maze.ij_to_xy(start))
        return [cell for cell in self.cells if distance[cell] == 4] or [start]

    @staticmethod
    def _draw(rng: np.random.Generator, cells: list[Cell]) -> Cell:
        return cells[rng.integers(len(cells))]


@dataclass
class ArmCollector:
    """Collects episodes of the robot arm with OGBench's controllers, one per kind of object.

    `play`: the controller adds smoothed noise to its plan, of size `noise` times the action's range. `noisy`: xi is
    uniform in [0, noise] for each episode; the noise of (x, y, z, yaw, gripper) is xi times (1, 1, 1, 3, 10).
    """

    recipe: Recipe
    env: gymnasium.Env = field(init=False, repr=False)

    def __post_init__(self):
        self.env = seeded_env(self.recipe.env_id, terminate_at_goal=False, mode="data_collection")
        self.controllers = _arm_controllers(self.env, self.recipe)

    def episode(self, seed: np.random.SeedSequence) -> Arrays:
        """One episode; a function of the recipe and the seed alone. Unhealthy ones are drawn again as a whole."""
        rng, env_seed = np.random.default_rng(seed), _integer(seed)
        while True:
            rows = self._attempt(rng, env_seed)
            if "scene" not in self.recipe.env_id or is_healthy(rows["qpos"]):
                return rows
            env_seed = None  # go on with the same generators

    def _attempt(self, rng: np.random.Generator, env_seed: int | None) -> Arrays:
        arm: Any = self.env.unwrapped
        if "scene" in self.recipe.env_id:
            _forget_targets(arm)
        obs, info = self.env.reset(seed=env_seed)
        p_stack = rng.uniform(*stacking_range(self.recipe.env_id))
        noise, random_actions = self._noise(rng), self._random_actions(rng)
        controller = self._start(obs, info)
        rows = _empty_rows(self.recipe, obs, arm)
        for step in range(self.recipe.episode_steps):
            action = random_actions.get(step)
            if action is None:
                action = np.clip(controller.select_action(obs, info) + noise[step], -1.0, 1.0)
            next_obs, _, _, _, info = arm.step(action)
            if controller.done:
                # As in OGBench, the next action still sees `info` of the finished target.
                controller = self._start(*arm.set_new_target(p_stack=p_stack))
            _record(rows, step, obs, action, info)
            obs = next_obs
        return rows

    def _start(self, obs: np.ndarray, info: dict):
        controller = self.controllers[info["privileged/target_task"]]
        controller.reset(obs, info)
        return controller

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        """What is added to the controller's actions; zero for `play`, whose noise is in the plan."""
        if self.recipe.kind == "play":
            return np.zeros((self.recipe.episode_steps, 5))
        xi = rng.uniform(0.0, self.recipe.noise)
        return rng.normal(0.0, xi * np.array([1.0, 1.0, 1.0, 3.0, 10.0]), (self.recipe.episode_steps, 5))

    def _random_actions(self, rng: np.random.Generator) -> dict[int, np.ndarray]:
        """The steps with a uniform action instead of the controller's."""
        steps = np.flatnonzero(rng.random(self.recipe.episode_steps) < self.recipe.p_random_action)
        return dict(zip(steps.tolist(), rng.uniform(-1.0, 1.0, (len(steps), 5)), strict=True))


def stacking_range(env_id: str) -> tuple[float, float]:
    """Range from which an episode's probability of stacking cubes is drawn (one cube: 0; not only cubes: 0.5)."""
    ranges = {"cube-single-v0": (0.0, 0.0), "cube-double-v0": (0.0, 0.25), "cube-triple-v0": (0.05, 0.35)}
    return ranges.get(env_id, (0.5, 0.5))


def is_healthy(qpos: np.ndarray) -> bool:
    """Whether the scene's cube stays visible, i.e. on the table or in the drawer (`qpos` of one episode, metres)."""
    y, z = qpos[:, 15], qpos[:, 16]
    too_far_right = y >= 0.29
    beside_the_drawer = (y <= -0.3) & ((z < 0.06) | (z > 0.08))
    return not (too_far_right | beside_the_drawer).any()


def _arm_controllers(env: gymnasium.Env, recipe: Recipe) -> dict[str, Any]:
    """OGBench's controllers by the kind of object that is the target."""
    style, options = {
        "play": ("plan", {"noise": recipe.noise, "noise_smoothing": 0.5}),
        "noisy": ("markov", {"min_norm": 0.4}),
    }[recipe.kind]
    objects = {"cube": ("cube",), "scene": ("cube", "button", "drawer", "window"), "puzzle": ("button",)}
    family = recipe.env_id.partition("-")[0]
    if family == "puzzle":
        options["gripper_always_closed"] = True
    return {name: _controller_class(name, style)(env=env, **options) for name in objects[family]}


def _controller_class(name: str, style: str) -> type:
    """OGBench's class; those that follow a plan compute it by `compute_plan`."""
    module = importlib.import_module(f"ogbench.manipspace.oracles.{style}.{name}_{style}")
    shipped = getattr(module, f"{name.title()}{style.title()}Oracle")
    return type(shipped.__name__, (shipped,), {"compute_plan": compute_plan}) if style == "plan" else shipped


def _forget_targets(scene: Any) -> None:
    """Set the scene's targets to those of a new environment.

    The scene keeps the targets of the last episode, and a closed-loop controller reads a target for one step before
    it is drawn (see `_attempt`): without this, an episode would depend on the one before.
    """
    scene._target_block = scene._target_button = 0
    scene._target_button_states[:] = 0
    scene._target_drawer_pos = scene._target_window_pos = 0.0
    scene.model.site("drawer_handle_center_target").pos[1] = 0.0
    scene.model.site("window_handle_center_target").pos[0] = 0.0


def _empty_rows(recipe: Recipe, obs: np.ndarray, env: Any) -> Arrays:
    """Arrays of one episode with OGBench's keys and types; only the last row ends it."""
    steps = recipe.episode_steps
    widths = {"observations": len(obs), "actions": env.action_space.shape[0]}
    widths |= {"qpos": env.model.nq, "qvel": env.model.nv}
    rows: Arrays = {key: np.empty((steps, width), np.float32) for key, width in widths.items()}
    rows["terminals"] = np.arange(steps) == steps - 1
    if hasattr(env, "_cur_button_states"):
        rows["button_states"] = np.empty((steps, len(env._cur_button_states)), np.int64)
    return rows


def _record(rows: Arrays, step: int, obs: np.ndarray, action: np.ndarray, info: dict[str, Any]) -> None:
    """Row `step`: the state before the action, and the action."""
    rows["observations"][step] = obs
    rows["actions"][step] = action
    rows["qpos"][step] = info["prev_qpos"]
    rows["qvel"][step] = info["prev_qvel"]
    if "button_states" in rows:
        rows["button_states"][step] = info["prev_button_states"]


def _is_hallway(free: np.ndarray, cell: Cell) -> bool:
    """Whether a cell lies inside a straight corridor: open on two opposite sides, walls on the other two."""
    i, j = cell
    up, down, left, right = free[i - 1, j], free[i + 1, j], free[i, j - 1], free[i, j + 1]
    return bool((up and down and not left and not right) or (left and right and not up and not down))


def _clip(value: float) -> float:
    return min(max(value, -1.0), 1.0)


def _integer(seed: np.random.SeedSequence) -> int:
    """128 bits of a seed sequence, for generators that take an integer."""
    return int.from_bytes(seed.generate_state(4).tobytes(), "little")
