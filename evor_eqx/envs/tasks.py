"""Tasks: what all have in common, and those of OGBench: names of datasets, discount, rewards and environments.

A dataset of OGBench (`cube-single-play-v0`) has no reward. Each of its five tasks
(`cube-single-play-singletask-task2-v0`) adds one. This module imports OGBench only when an environment is made: mujoco
is slow to import, and it reads `MUJOCO_GL` then. Your own tasks are in `data.custom`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from evor_eqx.envs.dataset_names import DatasetName, dataset_name, parse_dataset
from evor_eqx.envs.return_bounds import ReturnBounds, return_bounds
from evor_eqx.errors import UserError
from evor_eqx.system import own_files

if TYPE_CHECKING:
    import gymnasium

RewardTiming = Literal["pre", "post"]
RewardVariant = Literal["dense", "sparse"]
NUM_TASKS = 5
_SPARSE = "-sparse"

# The task that OGBench means by a name without a number (a test asks OGBench).
_DEFAULT_TASK = {"pointmaze": 1, "antmaze": 1, "cube": 2, "scene": 2, "puzzle": 4}
# Environments of long tasks. They have gamma = 0.995 in FQL, QC and Value Flows; all others have 0.99.
_LONG = ("cube-double", "cube-triple", "pointmaze-giant", "antmaze-giant")
# Conditions that make up a goal (a test asks OGBench): places of cubes, states of buttons, drawer and window.
_NUM_CONDITIONS = {"cube-double": 2, "cube-triple": 3, "scene": 5, "puzzle-3x3": 9, "puzzle-4x4": 16}


class Task:
    """What an agent is to do: data with rewards, a discount, and an environment to try it in.

    `parse_task` gives one of OGBench's tasks by its name, `custom_task` and `minari_task` give one of your own.
    """

    name: str  # in run folders and results
    dataset: str  # the name of its data
    gamma: float  # discount per environment step
    reward_timing: str  # which state rewards are read from; part of a result's identity
    make_env: Callable[..., "gymnasium.Env[Any, Any]"]  # makes an environment, also in a worker process
    has_env: bool = True  # whether there is an environment at all
    task_id: int = 1
    reference_returns: tuple[float, float] | None = None  # returns of an episode that are normalised to 0 and 100

    @property
    def reward_range(self) -> tuple[float, float]:
        """The least and the largest reward of a step."""
        raise NotImplementedError

    @property
    def return_bounds(self) -> ReturnBounds:
        """The least and the largest possible return; what is unknown of a return that was cut off lies in between."""
        return return_bounds(*self.reward_range, self.gamma)

    def with_discount(self, gamma: float | None) -> "Task":
        """The same task with another discount per step, in (0, 1); None leaves its own."""
        raise NotImplementedError

    @property
    def short_name(self) -> str:
        """A short name, which the command line understands."""
        return self.name

    @property
    def group(self) -> str:
        """The common part of the names of a dataset's tasks with the same reward."""
        return self.name

    @property
    def environment(self) -> str:
        """The name of the group that results of several tasks are averaged in; here the task's own."""
        return self.name

    @property
    def family(self) -> str:
        """The family of OGBench's environment; empty for others."""
        return ""

    @property
    def is_maze(self) -> bool:
        """Whether a body walks through a maze; else an arm moves objects, or it is no task of OGBench."""
        return self.family in ("pointmaze", "antmaze")

    @property
    def is_pointmaze(self) -> bool:
        """Whether the body in the maze is a point. If so, the observation is its position."""
        return self.family == "pointmaze"

    @property
    def num_conditions(self) -> int:
        """How many conditions the goal has, if the reward is minus the number that are not met; else 1."""
        return 1


@dataclass(frozen=True)
class OgbenchTask(Task):
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
    - `discount`: the discount per environment step; None: 0.995 where tasks are long, else 0.99, as in the papers.
    """

    dataset: str
    task_id: int
    reward_timing: RewardTiming = "pre"
    reward: RewardVariant = "dense"
    discount: float | None = None

    def with_discount(self, gamma: float | None) -> "OgbenchTask":
        return self if gamma is None else replace(self, discount=None if gamma == self._usual_gamma else gamma)

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
    def gamma(self) -> float:
        """Discount per environment step."""
        return self._usual_gamma if self.discount is None else self.discount

    @property
    def _usual_gamma(self) -> float:
        return 0.995 if self._parts.environment in _LONG else 0.99

    @property
    def num_conditions(self) -> int:
        """The conditions that a reward counts: those of the goal, or one if the reward is sparse."""
        return 1 if self.reward == "sparse" else _NUM_CONDITIONS.get(self._parts.environment, 1)

    @property
    def reward_range(self) -> tuple[float, float]:
        """Minus the number of conditions that a reward counts, and 0."""
        return -float(self.num_conditions), 0.0

    @property
    def _parts(self) -> DatasetName:
        return parse_dataset(self.dataset)

    @property
    def _suffix(self) -> str:
        return _SPARSE if self.reward == "sparse" else ""


def parse_task(name: str, reward_timing: str = "pre") -> Task:
    """The task of a name.

    **Arguments:**

    - `name`: `cube-single-play-singletask-task2-v0`, `cube-single-play-task2`, or `cube-single-play` for the default
      task. With sparse reward it is `scene-play-sparse-task2`. `mine.py:swing` is your own: the file is executed, and
      NAME in it is a task, or a function that returns one.
    - `reward_timing`: for a task of OGBench, the state that reward, success and the episode's end are read from: `pre`
      (s, as in OGBench since 1.2) or `post` (s', one step earlier, as in the papers).

    **Raises:** UserError for an unknown dataset, a task outside 1 to 5, a wrong timing, or a file without such a task.
    """
    if not own_files.is_own(name):
        return ogbench_task(name, reward_timing)
    if reward_timing != "pre":
        raise UserError(
            f"reward_timing is {reward_timing!r}: expected none for {name}, because a task of your own has the rewards "
            "of its environment; leave it out"
        )
    return own_files.load(name, Task, "task")


def ogbench_task(name: str, reward_timing: str = "pre") -> OgbenchTask:
    """`parse_task` for a name of OGBench."""
    if reward_timing not in get_args(RewardTiming):
        raise UserError(f"reward_timing is {reward_timing!r}, expected 'pre' (ogbench >= 1.2) or 'post' (the papers)")
    match = re.fullmatch(rf"(.*?)({_SPARSE})?(?:-singletask)?(?:-task(\d+))?", name.removesuffix("-v0"))
    stem, sparse, number = match.groups() if match else (name, None, None)
    dataset = dataset_name(stem)
    task_id = int(number) if number else _DEFAULT_TASK[parse_dataset(dataset).family]
    if not 1 <= task_id <= NUM_TASKS:
        raise UserError(f"task {task_id} of {dataset}: expected 1 to {NUM_TASKS}, e.g. {OgbenchTask(dataset, 1).name}")
    return OgbenchTask(dataset, task_id, cast(RewardTiming, reward_timing), "sparse" if sparse else "dense")


def all_tasks(task: Task) -> list[Task]:
    """All tasks of a task's dataset: OGBench's five with the same reward and timing, or your own alone."""
    if not isinstance(task, OgbenchTask):
        return [task]
    return [replace(task, task_id=task_id) for task_id in range(1, NUM_TASKS + 1)]


def is_task(name: str) -> bool:
    """Whether a name is that of a task (cube-single-play-task2, mine.py:swing), not of a dataset (cube-single-play)."""
    return own_files.is_own(name) or re.search(r"-singletask|-task\d+", name) is not None
