"""The task suite: names of OGBench's state-based datasets, their tasks, discount and reward timing, and environments.

A dataset (`cube-single-play-v0`) has no reward; each of its five tasks (`cube-single-play-singletask-task2-v0`) adds
one. OGBench itself is imported only when an environment is made: mujoco is slow to import and reads `MUJOCO_GL` then.
"""

import difflib
import re
import tempfile
import warnings
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

import gymnasium
import numpy as np
from jaxtyping import Float

from evor_eqx.errors import UserError

RewardTiming = Literal["pre", "post"]
RewardVariant = Literal["dense", "sparse"]
NUM_TASKS = 5

_MAZES = ("medium", "large", "giant", "teleport")
_MANIPULATION = ("cube-single", "cube-double", "cube-triple", "scene", "puzzle-3x3", "puzzle-4x4")
# What can be collected here: OGBench ships the controllers. The ants' controller is a trained network that it does
# not ship, so these datasets can only be downloaded.
# `slippery` is this project's: the same maze, but every action is executed with noise that the data do not show.
_SLIPPERY = "-slippery"
_SPARSE = "-sparse"
SLIP = 1.0  # standard deviation of that noise, in units of the action
GENERATED = tuple(
    f"{env}-{kind}-v0"
    for envs, kinds in (
        ([f"pointmaze-{maze}" for maze in _MAZES], ("navigate", "stitch")),
        ([f"pointmaze-medium{_SLIPPERY}"], ("navigate",)),
        (_MANIPULATION, ("play", "noisy")),
    )
    for env in envs
    for kind in kinds
)
PUBLISHED_ONLY = tuple(
    f"antmaze-{maze}-{kind}-v0"
    for maze in _MAZES
    for kind in ("navigate", "stitch", "explore")
    if (maze, kind) != ("giant", "explore")
)
DATASETS = GENERATED + PUBLISHED_ONLY

# The task that OGBench means by a name without a number (a test asks OGBench).
_DEFAULT_TASK = {"pointmaze": 1, "antmaze": 1, "cube": 2, "scene": 2, "puzzle": 4}
# Long tasks have gamma = 0.995 in FQL, QC and Value Flows; all others 0.99.
_LONG = ("cube-double", "cube-triple", "pointmaze-giant", "antmaze-giant")
# Conditions that make up a goal (a test asks OGBench): places of cubes, states of buttons, drawer and window.
_NUM_CONDITIONS = {"cube-double": 2, "cube-triple": 3, "scene": 5, "puzzle-3x3": 9, "puzzle-4x4": 16}


@dataclass(frozen=True)
class Task:
    """One reward on one dataset. Reward and timing are its identity: numbers that differ in either do not compare.

    `dense`: minus the number of the goal's conditions that are not met, OGBench's. `sparse`: 0 if all are met, else -1,
    as Q-chunking's authors have it for `scene` (arXiv 2507.07969); where a dense reward asks the agent to give up what
    is met on the way, standing still can be worth more than the goal. Success is the same in both.

    `pre`: reward, success and the episode's end are read from s, as in the relabelled data (OGBench since 1.2).
    `post`: from s', one step earlier (OGBench 1.1, and so the published numbers). The data are the same in both.
    """

    dataset: str  # full name, e.g. cube-single-play-v0
    task_id: int  # 1 to 5
    reward_timing: RewardTiming = "pre"
    reward: RewardVariant = "dense"

    @property
    def name(self) -> str:
        """OGBench's name of dataset and task, e.g. cube-single-play-singletask-task2-v0, or with `-sparse` in it."""
        return f"{self.group}-singletask-task{self.task_id}-v0"

    @property
    def group(self) -> str:
        """What the five tasks of a dataset and a reward have in common of their name, e.g. scene-play-sparse."""
        return self.dataset.removesuffix("-v0") + self._suffix

    @property
    def _suffix(self) -> str:
        return _SPARSE if self.reward == "sparse" else ""

    @property
    def short_name(self) -> str:
        """The name without what goes without saying, e.g. cube-single-play-task2; `parse_task` takes it, too."""
        return self.name.replace("-singletask", "").removesuffix("-v0")

    @property
    def environment(self) -> str:
        """The environment and the reward if it is not OGBench's, e.g. scene or scene-sparse."""
        return environment(self.dataset) + self._suffix

    @property
    def env_id(self) -> str:
        """Gymnasium's name of the environment, e.g. cube-single-singletask-task2-v0."""
        return f"{environment(self.dataset)}-singletask-task{self.task_id}-v0"

    @property
    def gamma(self) -> float:
        """Discount per environment step."""
        return 0.995 if self.dataset.startswith(_LONG) else 0.99

    @property
    def num_conditions(self) -> int:
        """What a reward counts: the conditions of the goal that are not met or, if it is sparse, the goal itself."""
        return 1 if self.reward == "sparse" else _NUM_CONDITIONS.get(environment(self.dataset), 1)

    @property
    def return_range(self) -> float:
        """Between the lowest and the highest return that rewards allow, num_conditions / (1 - gamma)."""
        return self.num_conditions / (1 - self.gamma)


def dataset_name(name: str) -> str:
    """Full name of a known dataset, `-v0` added if missing. Raises UserError with the nearest names."""
    full = name.removesuffix("-v0") + "-v0"
    if full in DATASETS:
        return full
    close = difflib.get_close_matches(full, DATASETS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "pointmaze-medium-navigate and cube-single-play are some"
    raise UserError(f"unknown dataset {name!r}; {hint} (known: {len(DATASETS)} datasets, evor_eqx.envs.tasks.DATASETS)")


def environment(dataset: str) -> str:
    """The environment of a dataset without its version, e.g. cube-single for cube-single-play-v0."""
    return dataset.removesuffix("-v0").rpartition("-")[0]


def parse_task(name: str, reward_timing: str = "pre") -> Task:
    """Task from `cube-single-play-singletask-task2-v0`, `cube-single-play-task2` or `cube-single-play` (default task).

    With sparse reward it is `scene-play-sparse-task2`.
    Raises UserError for an unknown dataset, a task outside 1 to 5 or a wrong timing.
    """
    if reward_timing not in get_args(RewardTiming):
        raise UserError(f"reward_timing is {reward_timing!r}, expected 'pre' (ogbench >= 1.2) or 'post' (the papers)")
    match = re.fullmatch(rf"(.*?)({_SPARSE})?(?:-singletask)?(?:-task(\d+))?", name.removesuffix("-v0"))
    stem, sparse, number = match.groups() if match else (name, None, None)
    dataset = dataset_name(stem)
    task_id = int(number) if number else _DEFAULT_TASK[dataset.partition("-")[0]]
    if not 1 <= task_id <= NUM_TASKS:
        raise UserError(f"task {task_id} of {dataset}: expected 1 to {NUM_TASKS}, e.g. {Task(dataset, 1).name}")
    return Task(dataset, task_id, cast(RewardTiming, reward_timing), "sparse" if sparse else "dense")


def all_tasks(task: Task) -> list[Task]:
    """The tasks of a task's dataset, with its reward and timing."""
    return [replace(task, task_id=task_id) for task_id in range(1, NUM_TASKS + 1)]


def is_task(name: str) -> bool:
    """Whether a name has a task in it (cube-single-play-task2) or is a dataset's (cube-single-play)."""
    return re.search(r"-singletask|-task\d+", name) is not None


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
