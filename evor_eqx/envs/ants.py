"""Where an ant's body is and goes: what an observation of OGBench's antmazes says, and what actions do from there."""

import numpy as np
from jaxtyping import Float

from evor_eqx.envs.ogbench import reset_world
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError
from evor_eqx.system.processes import num_cores

ANT_VELOCITY = slice(15, 17)  # of an observation, which has 15 positions first: the torso's, along x and y, in m/s


class AntBody:
    """The ant of an antmaze. An observation is its whole state, so it can be simulated from any.

    Raises UserError if the task has no ant.
    """

    def __init__(self, task: Task):
        if task.family != "antmaze":
            raise UserError(f"{task.name} has no ant: expected a task of an antmaze dataset")
        with reset_world(task) as world:
            self._model, self._frame_skip = world.model, world.frame_skip

    def ways(
        self, obs: Float[np.ndarray, "*num obs"], chunks: Float[np.ndarray, "num chunk"]
    ) -> Float[np.ndarray, "num 2"]:
        """How far chunks of actions move the torso along x and y, in metres.

        Each is simulated from its own observation, or all from one.
        """
        import mujoco
        from mujoco import rollout

        actions = np.asarray(chunks, np.float64).reshape(len(chunks), -1, self._model.nu)
        begin = np.broadcast_to(obs, (len(chunks), np.shape(obs)[-1]))
        states = np.insert(begin.astype(np.float64), 0, 0.0, axis=1)  # time, positions, velocities
        threads = [mujoco.MjData(self._model) for _ in range(num_cores())]  # pyright: ignore
        passed, _ = rollout.rollout(self._model, threads, states, np.repeat(actions, self._frame_skip, axis=1))
        return np.asarray(passed)[:, -1, 1:3] - begin[:, :2]
