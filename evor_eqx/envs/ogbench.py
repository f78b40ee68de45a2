"""OGBench's environments, made so that a seed repeats them exactly."""

import tempfile
import warnings
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float

from evor_eqx.envs.tasks import _SLIPPERY, SLIP, Task
from evor_eqx.errors import UserError


def make_env(task: Task, **kwargs: Any) -> gymnasium.Env:
    """The task's environment, which `reset(seed=s)` makes repeat itself exactly; `kwargs` go to gymnasium.make."""
    env = seeded_env(task.env_id, success_timing=task.reward_timing, **kwargs)
    return gymnasium.wrappers.TransformReward(env, sparse_reward) if task.reward == "sparse" else env


def sparse_reward(reward: Any) -> Any:
    """0 where the dense reward, minus the number of conditions that are not met, says that the goal is; else -1."""
    return np.where(np.asarray(reward) == 0, 0.0, -1.0)


def seeded_env(env_id: str, **kwargs: Any) -> gymnasium.Env:
    """An OGBench environment by its Gymnasium name, wrapped in `SeededReset`.

    A `slippery` one adds noise to each action (`SlipperyActions`). Silences what the imports print on a machine without
    a display, and a remark on float32 bounds; removes the XML file that OGBench's mazes leave behind in the folder for
    temporary files.
    """
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import ogbench  # noqa: F401  (registers the environments)

        outside, tempfile.tempdir = tempfile.tempdir, folder
        try:
            env = gymnasium.make(env_id.replace(_SLIPPERY, ""), **kwargs)
            return SeededReset(SlipperyActions(env, SLIP) if _SLIPPERY in env_id else env)
        finally:
            tempfile.tempdir = outside


@dataclass(frozen=True)
class MazeLayout:
    """A maze and a task's goal, in the coordinates of the observations (metres)."""

    walls: np.ndarray  # [i, j], 1 where a cell is wall; cell (i, j) is centred at (j, i) * unit - offset
    unit: float
    offset: float
    goal: np.ndarray  # [2]

    @property
    def free_cells(self) -> Float[np.ndarray, "cells 2"]:
        """The middles of the cells that are not wall, row by row."""
        i, j = np.nonzero(self.walls == 0)
        return np.stack([j, i], axis=1) * self.unit - self.offset


def maze_layout(task: Task) -> MazeLayout:
    """Walls and goal of a maze task, from OGBench. Raises UserError for a task that has no maze."""
    env = make_env(task)
    env.reset(seed=0)
    maze: Any = env.unwrapped
    if not hasattr(maze, "maze_map"):
        raise UserError(f"{task.name} has no maze: expected a task of a pointmaze or antmaze dataset")
    sizes = float(maze._maze_unit), float(maze._offset_x)
    layout = MazeLayout(maze.maze_map, *sizes, np.array(maze.cur_goal_xy))
    env.close()
    return layout


class SeededReset(gymnasium.Wrapper):
    """Makes what follows `reset(seed=s)` a function of s and the actions alone, bit for bit.

    OGBench draws from three generators: the environment's own, NumPy's global one (goals, teleports, controllers) and
    that of `action_space` (a few random steps inside `reset`). All three are seeded, with different words of s. Two
    environments in one process share the global one: their teleports depend on the order of their steps.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        _hold_action_space(env.unwrapped)
        # The first reset computes forces with the arm's gains as in the XML, later ones with OGBench's: the solver's
        # warm start, and so the last bits of the physics, differ. Hence no user ever sees the first one.
        env.reset(seed=0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """As gymnasium's; `seed` may be any non-negative integer."""
        if seed is not None:
            words = np.random.SeedSequence(seed).generate_state(8)
            np.random.seed(words[:4])  # noqa: NPY002  (the global generator is what OGBench uses)
            self.env.unwrapped.action_space.seed(int(words[4]))
        return self.env.reset(seed=seed, options=options)


class SlipperyActions(gymnasium.ActionWrapper):
    """Executes each action with Gaussian noise, clipped to [-1, 1]: transitions become stochastic.

    The noise is a function of the reset's seed. Whoever records the action records what was asked for.
    """

    def __init__(self, env: gymnasium.Env, std: float):
        super().__init__(env)
        self.std, self.rng = std, np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """As gymnasium's; a seed also starts the noise anew."""
        if seed is not None:
            self.rng = np.random.default_rng([seed, 1])
        return self.env.reset(seed=seed, options=options)

    def action(self, action: np.ndarray) -> np.ndarray:
        """The action that is executed."""
        noisy = action + self.rng.normal(0.0, self.std, np.shape(action))
        return np.clip(noisy, -1.0, 1.0).astype(np.float32)


def _hold_action_space(env: gymnasium.Env) -> None:
    """Keep one action space: OGBench's arms build a new one, with a new random seed, at every access."""
    env.__class__ = type(type(env).__name__, (type(env),), {"action_space": env.action_space})
