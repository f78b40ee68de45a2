"""Episodes of a point or an ant in a maze, which goes along the shortest path to random goals.

The point's action is the unit direction to the next cell, the ant's is what its actor does in that direction; both with
Gaussian noise, clipped to the box. An ant that explores goes in a random direction, with a new one every ten steps.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from evor_eqx.data.generation.ant_actor import shipped_actor
from evor_eqx.data.generation.recipes import Arrays, Recipe, empty_rows, integer_seed, record
from evor_eqx.envs.ogbench import SlipperyActions, seeded_env

Cell = tuple[int, int]
_KEEP_DIRECTION = 10  # steps


@dataclass
class MazeCollector:
    """Collects episodes of a point or an ant in a maze."""

    recipe: Recipe
    env: gymnasium.Env = field(init=False, repr=False)

    def __post_init__(self):
        self.env = seeded_env(self.recipe.env_id, terminate_at_goal=False)
        self.maze: Any = self.env.unwrapped
        slippery = isinstance(self.env.env, SlipperyActions)  # type: ignore[attr-defined]
        self.step = self.env.step if slippery else self.maze.step  # the bare one is several times faster
        self.actor = shipped_actor() if self.recipe.family == "antmaze" else None
        free = self.maze.maze_map == 0
        self.cells: list[Cell] = [(i, j) for i, j in np.argwhere(free).tolist()]
        self.goal_cells = [cell for cell in self.cells if not _is_hallway(free, cell)]
        # OGBench searches the whole maze at each step; the answer depends on the two cells only.
        self.next_cell_centre = functools.cache(self._next_cell_centre)

    def episode(self, seed: np.random.SeedSequence) -> Arrays:
        """Collect one episode; it is a function of the recipe and the seed alone."""
        maze, recipe, rng = self.maze, self.recipe, np.random.default_rng(seed)
        start = self._draw(rng, self.cells)
        goal = self._draw(rng, self._cells_four_away(start) if recipe.kind == "stitch" else self.goal_cells)
        obs, _ = self.env.reset(seed=integer_seed(seed), options={"task_info": {"init_ij": start, "goal_ij": goal}})
        noise = rng.normal(0.0, recipe.noise, (recipe.episode_steps, *maze.action_space.shape)).tolist()
        directions = _random_directions(rng, recipe.episode_steps) if recipe.kind == "explore" else None
        rows = empty_rows(recipe, obs, maze)
        for step in range(recipe.episode_steps):
            direction = self._to_next_cell() if directions is None else directions[step]
            action = self._action(obs, direction, noise[step])
            next_obs, _, _, _, info = self.step(action)
            record(rows, step, obs, action, info)
            obs = next_obs
            if recipe.kind == "navigate" and info["success"]:
                cell = self._draw(rng, self.goal_cells)
                maze.set_goal(goal_xy=maze.add_noise(maze.ij_to_xy(cell)))
        return rows

    def _action(self, obs: np.ndarray, direction: Sequence[float], noise: list[float]) -> np.ndarray:
        """The body's action in a unit direction plus noise, clipped to the box."""
        if self.actor is None:  # plain floats: arrays of two are slower
            return np.array([_clip(each + error) for each, error in zip(direction, noise, strict=True)])
        mean = self.actor.mean_action(np.concatenate([obs[2:], direction]))
        return np.clip(mean + noise, -1.0, 1.0)

    def _to_next_cell(self) -> tuple[float, float]:
        """The unit direction to the centre of the next cell on the shortest path to the goal."""
        x, y = self.maze.data.qpos[:2].tolist()
        target_x, target_y = self.next_cell_centre(
            self.maze.xy_to_ij((x, y)), self.maze.xy_to_ij(self.maze.cur_goal_xy)
        )
        dx, dy = target_x - x, target_y - y
        norm = math.hypot(dx, dy) + 1e-6
        return dx / norm, dy / norm

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


def _is_hallway(free: np.ndarray, cell: Cell) -> bool:
    """Whether a cell lies inside a straight corridor: open on two opposite sides, walls on the other two."""
    i, j = cell
    up, down, left, right = free[i - 1, j], free[i + 1, j], free[i, j - 1], free[i, j + 1]
    return bool((up and down and not left and not right) or (left and right and not up and not down))


def _random_directions(rng: np.random.Generator, num_steps: int) -> list[list[float]]:
    """Unit directions, [num_steps, 2]; each is kept for ten steps."""
    drawn = rng.normal(size=(-(-num_steps // _KEEP_DIRECTION), 2))
    directions = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return np.repeat(directions, _KEEP_DIRECTION, axis=0)[:num_steps].tolist()


def _clip(value: float) -> float:
    return min(max(value, -1.0), 1.0)
