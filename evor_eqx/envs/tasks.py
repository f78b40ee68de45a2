"""The task suite: names of OGBench's state-based datasets, their tasks, discount and reward timing, and environments.

A dataset (`cube-single-play-v0`) has no reward; each of its five tasks (`cube-single-play-singletask-task2-v0`) adds
one. OGBench itself is imported only when an environment is made: mujoco is slow to import and reads `MUJOCO_GL` then.
"""

import difflib
import re
from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

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
