"""OGBench's environments, made so that a seed repeats them exactly."""

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator
from jaxtyping import Float, Int

from evor_eqx.envs.dataset_names import SLIP, SLIPPERY
from evor_eqx.envs.generator import global_generator_kept, global_generator_lent
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError


def seeded_env(env_id: str, **kwargs: Any) -> gymnasium.Env:
    """Make an OGBench environment, wrapped in `SeededReset`, and in `SlipperyActions` if it is slippery.

    **Arguments:**

    - `env_id`: its Gymnasium name, with `-slippery` behind the maze for noisy actions.
    - `kwargs`: go to `gymnasium.make`.

    What the imports print on a machine without a display is silenced, and so is a remark on float32 bounds. Several
    threads may make environments at once.
    """
    with global_generator_lent():
        _ignore_remarks()
        import ogbench  # noqa: F401  (registers the environments)

        env = gymnasium.make(_with_one_action_space(env_id.replace(SLIPPERY, "")), **kwargs)
        _remove_xml(env)
        return SeededReset(SlipperyActions(env, SLIP) if SLIPPERY in env_id else env)


def sparse_reward(reward: Any) -> Any:
    """The sparse reward of a dense one: 0 where no condition of the goal is unmet, else -1."""
    return np.where(np.asarray(reward) == 0, 0.0, -1.0)


@dataclass(frozen=True)
class MazeLayout:
    """A maze, its teleports and a task's goal, in the coordinates of the observations (metres)."""

    walls: np.ndarray  # [i, j], 1 where a cell is wall; cell (i, j) is centred at (j, i) * unit - offset
    unit: float
    offset: float
    goal: np.ndarray  # [2]
    seconds: float = 0.1  # of a step
    entrances: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))  # of teleports; [entrances, 2]
    exits: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))  # where they lead, by chance; [exits, 2]

    def cells_of(self, places: Float[np.ndarray, "rows 2"]) -> Int[np.ndarray, "rows 2"]:
        """The cells (i, j) that places lie in."""
        return np.floor((places[:, ::-1] + self.offset) / self.unit + 0.5).astype(int)

    @property
    def free_cells(self) -> Float[np.ndarray, "cells 2"]:
        """The centres of the cells that are not wall, row by row."""
        i, j = np.nonzero(self.walls == 0)
        return np.stack([j, i], axis=1) * self.unit - self.offset


def maze_layout(task: Task) -> MazeLayout:
    """Walls, goal and teleports of a maze task, from OGBench.

    **Raises:** UserError if the task has no maze.
    """
    if not task.is_maze:
        raise UserError(f"{task.name} has no maze: expected a task of a pointmaze or antmaze dataset")
    with reset_world(task) as maze:
        unit, offset = float(maze._maze_unit), float(maze._offset_x)
        layout = MazeLayout(maze.maze_map, unit, offset, np.array(maze.cur_goal_xy), float(maze.dt))
        if (teleports := maze._teleport_info) is None:
            return layout
        ends = {"entrances": teleports["teleport_in_xys"], "exits": teleports["teleport_out_xys"]}
        return replace(layout, **{name: np.array(places) for name, places in ends.items()})


@contextlib.contextmanager
def reset_world(task: Task) -> Iterator[Any]:
    """OGBench's own environment of a task, after a reset with seed 0, to read from; it is closed afterwards."""
    with global_generator_kept():
        env = task.make_env()
        env.reset(seed=0)
    try:
        yield env.unwrapped
    finally:
        env.close()


class SeededReset(gymnasium.Wrapper):
    """Makes what follows `reset(seed=s)` a function of s and the actions alone, bit for bit.

    OGBench draws from three generators: the environment's own, NumPy's global one (goals, teleports, controllers) and
    that of `action_space` (a few random steps inside `reset`). All three are seeded, with different words of s. Two
    environments in one process share the global one: their teleports depend on the order of their steps.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        # The first reset computes forces with the arm's gains as in the XML, later ones with OGBench's gains. So the
        # solver's warm start, and with it the last bits of the physics, differ. Hence the first reset is made here.
        env.reset(seed=0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Reset as gymnasium does; `seed` may be any non-negative integer."""
        with global_generator_lent():
            if seed is not None:
                words = np.random.SeedSequence(seed).generate_state(8)
                np.random.seed(words[:4])  # noqa: NPY002  (the global generator is what OGBench uses)
                self.env.unwrapped.action_space.seed(int(words[4]))
            return self.env.reset(seed=seed, options=options)


class SlipperyActions(gymnasium.ActionWrapper):
    """Executes each action with Gaussian noise, clipped to [-1, 1]: transitions become stochastic.

    The noise is a function of the reset's seed. The recorded actions are those without the noise.
    """

    def __init__(self, env: gymnasium.Env, std: float):
        super().__init__(env)
        self.std, self.rng = std, np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """Reset as gymnasium does; a seed also restarts the noise."""
        if seed is not None:
            self.rng = np.random.default_rng([seed, 1])
        return self.env.reset(seed=seed, options=options)

    def action(self, action: np.ndarray) -> np.ndarray:
        """The action that is executed."""
        noisy = action + self.rng.normal(0.0, self.std, np.shape(action))
        return np.clip(noisy, -1.0, 1.0).astype(np.float32)


class SparseReward(gymnasium.RewardWrapper):
    """Gives `sparse_reward` instead of the dense reward."""

    def reward(self, reward: Any) -> Any:
        """The sparse reward."""
        return sparse_reward(reward)


class OneActionSpace:
    """Keeps one action space, so that its seed lasts: OGBench's arms build a new space at every access."""

    @functools.cached_property
    def action_space(self):
        """The space that OGBench built at the first access."""
        return super().action_space  # type: ignore[misc]


def _ignore_remarks() -> None:
    """Ignore two remarks, for good. `warnings.catch_warnings` would change the filters of all threads for a while."""
    warnings.filterwarnings("ignore", module="glfw$", category=UserWarning)  # there is no display
    warnings.filterwarnings("ignore", ".*precision lowered by casting to float32", UserWarning)


def _with_one_action_space(env_id: str) -> EnvSpec:
    """Gymnasium's specification of an environment, with `OneActionSpace` mixed into the class of the arms."""
    spec = gymnasium.spec(env_id)
    shipped: Any = load_env_creator(str(spec.entry_point))
    if not isinstance(shipped, type):  # a maze comes from a function, and has one action space
        return spec
    return dataclasses.replace(spec, entry_point=type(shipped.__name__, (OneActionSpace, shipped), {}))


def _remove_xml(env: gymnasium.Env) -> None:
    """Close and remove the temporary XML file that a maze was read from: OGBench leaves it open, and where it is."""
    if not hasattr(env.unwrapped, "maze_map"):
        return
    xml = Path(env.unwrapped.fullpath)  # type: ignore[attr-defined]
    with contextlib.suppress(FileNotFoundError):  # temporary files were removed
        written = xml.stat()
        for descriptor in map(int, os.listdir("/dev/fd")):
            with contextlib.suppress(OSError):  # the one of the listing itself
                if os.path.samestat(os.fstat(descriptor), written):
                    os.close(descriptor)
        xml.unlink()
