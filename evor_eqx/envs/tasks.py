"""The task suite: names of OGBench's state-based datasets, their tasks, discount, rewards and environments.

A dataset (`cube-single-play-v0`) has no reward. Each of its five tasks (`cube-single-play-singletask-task2-v0`) adds
one. This module imports OGBench only when an environment is made: mujoco is slow to import, and it reads `MUJOCO_GL`
then.
"""

import difflib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

from evor_eqx.errors import UserError

if TYPE_CHECKING:
    import gymnasium

RewardTiming = Literal["pre", "post"]
RewardVariant = Literal["dense", "sparse"]
NUM_TASKS = 5

_MAZES = ("medium", "large", "giant", "teleport")
ARM_ENVIRONMENTS = ("cube-single", "cube-double", "cube-triple", "scene", "puzzle-3x3", "puzzle-4x4")
# `slippery` is this project's: the same maze, but every action is executed with noise that the data do not show.
SLIPPERY = "-slippery"
SLIP = 1.0  # standard deviation of that noise, in units of the action
_SPARSE = "-sparse"
# What can be collected here: OGBench ships these controllers. The controller of the ants is a trained network that it
# does not ship, so those datasets can only be downloaded.
GENERATED = tuple(
    f"{env}-{kind}-v0"
    for envs, kinds in (
        ([f"pointmaze-{maze}" for maze in _MAZES], ("navigate", "stitch")),
        ([f"pointmaze-medium{SLIPPERY}"], ("navigate",)),
        (ARM_ENVIRONMENTS, ("play", "noisy")),
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
# Environments of long tasks. They have gamma = 0.995 in FQL, QC and Value Flows; all others have 0.99.
_LONG = ("cube-double", "cube-triple", "pointmaze-giant", "antmaze-giant")
# Conditions that make up a goal (a test asks OGBench): places of cubes, states of buttons, drawer and window.
_NUM_CONDITIONS = {"cube-double": 2, "cube-triple": 3, "scene": 5, "puzzle-3x3": 9, "puzzle-4x4": 16}


class DatasetName(NamedTuple):
    """The parts of a dataset's name."""

    environment: str  # e.g. cube-single
    kind: str  # who collected it, e.g. play

    @property
    def family(self) -> str:
        """The family of the environment, e.g. cube."""
        return family(self.environment)


@dataclass(frozen=True)
class Task:
    """One reward on one dataset. Results are only comparable for the same reward and the same reward timing.

    **Arguments:**

    - `dataset`: the dataset's full name.
    - `task_id`: which of the dataset's tasks, 1 to 5.
    - `reward_timing`: the state that reward, success and the episode's end are read from. `pre`: from s, as in the
      relabelled data (OGBench since 1.2). `post`: from s', one step earlier (OGBench 1.1, and so the published
      numbers). The data are the same in both.
    - `reward`: `dense` is OGBench's: minus the number of the goal's conditions that are not met. `sparse` is 0 if all
      are met, else -1, as Q-chunking's authors have it for `scene` (arXiv 2507.07969). A dense reward can make
      standing still worth more than the goal, where the way to the goal undoes conditions that are already met.
      Success is the same in both.
    """

    dataset: str  # full name, e.g. cube-single-play-v0
    task_id: int  # 1 to 5
    reward_timing: RewardTiming = "pre"
    reward: RewardVariant = "dense"

    def make_env(self, **kwargs: Any) -> "gymnasium.Env":
        """Make the environment. After `reset(seed=s)` it is deterministic. `kwargs` go to `gymnasium.make`."""
        from evor_eqx.envs.ogbench import SparseReward, seeded_env

        env = seeded_env(self.env_id, success_timing=self.reward_timing, **kwargs)
        return SparseReward(env) if self.reward == "sparse" else env

    @property
    def name(self) -> str:
        """OGBench's name of dataset and task, e.g. cube-single-play-singletask-task2-v0, or with `-sparse` in it."""
        return f"{self.group}-singletask-task{self.task_id}-v0"

    @property
    def short_name(self) -> str:
        """A short name that `parse_task` understands, e.g. cube-single-play-task2."""
        return f"{self.group}-task{self.task_id}"

    @property
    def group(self) -> str:
        """The common part of the names of a dataset's five tasks with this reward, e.g. scene-play-sparse."""
        return "-".join(self._parts) + self._suffix

    @property
    def environment(self) -> str:
        """The environment, and the reward if it is not OGBench's, e.g. scene or scene-sparse."""
        return self._parts.environment + self._suffix

    @property
    def env_id(self) -> str:
        """Gymnasium's name of the environment, e.g. cube-single-singletask-task2-v0."""
        return f"{self._parts.environment}-singletask-task{self.task_id}-v0"

    @property
    def family(self) -> str:
        """The family of the environment: pointmaze, antmaze, cube, scene or puzzle."""
        return self._parts.family

    @property
    def is_maze(self) -> bool:
        """Whether a body walks through a maze; else an arm moves objects."""
        return self.family in ("pointmaze", "antmaze")

    @property
    def is_pointmaze(self) -> bool:
        """Whether the body in the maze is a point. If so, the observation is its position."""
        return self.family == "pointmaze"

    @property
    def gamma(self) -> float:
        """Discount per environment step."""
        return 0.995 if self._parts.environment in _LONG else 0.99

    @property
    def num_conditions(self) -> int:
        """The conditions that a reward counts: those of the goal, or one if the reward is sparse."""
        return 1 if self.reward == "sparse" else _NUM_CONDITIONS.get(self._parts.environment, 1)

    @property
    def _parts(self) -> DatasetName:
        return parse_dataset(self.dataset)

    @property
    def _suffix(self) -> str:
        return _SPARSE if self.reward == "sparse" else ""


def dataset_name(name: str) -> str:
    """Full name of a known dataset: `-v0` is added if it is missing.

    **Raises:** UserError for an unknown dataset, with the most similar names.
    """
    full = name.removesuffix("-v0") + "-v0"
    if full in DATASETS:
        return full
    close = difflib.get_close_matches(full, DATASETS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "pointmaze-medium-navigate and cube-single-play are some"
    raise UserError(f"unknown dataset {name!r}; {hint} (known: {len(DATASETS)} datasets, evor_eqx.envs.tasks.DATASETS)")


def parse_dataset(name: str) -> DatasetName:
    """Split a dataset's name into its parts, e.g. cube-single-play-v0 into cube-single and play."""
    environment, _, kind = name.removesuffix("-v0").rpartition("-")
    return DatasetName(environment, kind)


def family(environment: str) -> str:
    """The family of an environment, e.g. cube for cube-single or cube-single-v0."""
    return environment.removesuffix("-v0").partition("-")[0]


def parse_task(name: str, reward_timing: str = "pre") -> Task:
    """The task of a name.

    **Arguments:**

    - `name`: `cube-single-play-singletask-task2-v0`, `cube-single-play-task2`, or `cube-single-play` for the default
      task. With sparse reward it is `scene-play-sparse-task2`.
    - `reward_timing`: `pre` or `post`; see `Task`.

    **Raises:** UserError for an unknown dataset, a task outside 1 to 5, or a wrong timing.
    """
    if reward_timing not in get_args(RewardTiming):
        raise UserError(f"reward_timing is {reward_timing!r}, expected 'pre' (ogbench >= 1.2) or 'post' (the papers)")
    match = re.fullmatch(rf"(.*?)({_SPARSE})?(?:-singletask)?(?:-task(\d+))?", name.removesuffix("-v0"))
    stem, sparse, number = match.groups() if match else (name, None, None)
    dataset = dataset_name(stem)
    task_id = int(number) if number else _DEFAULT_TASK[parse_dataset(dataset).family]
    if not 1 <= task_id <= NUM_TASKS:
        raise UserError(f"task {task_id} of {dataset}: expected 1 to {NUM_TASKS}, e.g. {Task(dataset, 1).name}")
    return Task(dataset, task_id, cast(RewardTiming, reward_timing), "sparse" if sparse else "dense")


def all_tasks(task: Task) -> list[Task]:
    """The five tasks of a task's dataset, with its reward and timing."""
    return [replace(task, task_id=task_id) for task_id in range(1, NUM_TASKS + 1)]


def is_task(name: str) -> bool:
    """Whether a name is that of a task (cube-single-play-task2), not of a dataset (cube-single-play)."""
    return re.search(r"-singletask|-task\d+", name) is not None
