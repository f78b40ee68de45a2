"""What an observation of OGBench's arms says of places: the gripper, the cubes, and where the task wants them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evor_eqx.envs.ogbench import reset_world
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError

ARMS = ("cube", "scene", "puzzle")  # the families with an arm
_CENTER, _SCALE = np.array([0.425, 0.0, 0.0]), 10.0  # OGBench: entries are 10 * (place - center)
_GRIPPER, _FIRST_CUBE, _CUBE_SIZE = 12, 19, 9  # OGBench: where their entries begin, and how many a cube has


@dataclass(frozen=True)
class ArmLayout:
    """The cubes of an arm's environment and their goals, in metres."""

    num_cubes: int
    goals: Float[np.ndarray, "goals 3"]

    def gripper(self, obs: Float[np.ndarray, "*b obs"]) -> Float[np.ndarray, "*b 3"]:
        """The place of the gripper's fingertips, in metres."""
        return np.asarray(obs)[..., _GRIPPER : _GRIPPER + 3] / _SCALE + _CENTER

    def cubes(self, obs: Float[np.ndarray, " obs"]) -> Float[np.ndarray, "cubes 3"]:
        """The place of each cube, in metres."""
        begins = _FIRST_CUBE + _CUBE_SIZE * np.arange(self.num_cubes)
        entries = np.asarray(obs)[begins[:, None] + np.arange(3)]
        return entries / _SCALE + _CENTER


def arm_layout(task: Task) -> ArmLayout:
    """The cubes of a task and their goals, from OGBench.

    **Raises:** UserError if the task has no arm.
    """
    if task.family not in ARMS:
        raise UserError(f"{task.name} has no arm: expected a task of a cube, scene or puzzle dataset")
    with reset_world(task) as world:
        num_cubes = int(getattr(world, "_num_cubes", 0))
        return ArmLayout(num_cubes, np.array(world.data.mocap_pos[:num_cubes], float))
