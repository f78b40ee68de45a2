"""Set an environment to a recorded state of the physics."""

from typing import Any

import gymnasium
import numpy as np

from evor_eqx.errors import UserError


def place(
    env: gymnasium.Env, qpos: np.ndarray, qvel: np.ndarray, button_states: np.ndarray | None = None
) -> np.ndarray:
    """Set an environment, which must have been reset, to a recorded state of the physics.

    **Arguments:**

    - `env`: one of OGBench's environments, wrapped or not.
    - `qpos`, `qvel`: positions and velocities of a row of the environment's dataset.
    - `button_states`: the row's buttons, if the environment has any.

    **Returns:** the observation. It equals the recorded one up to float32, with three exceptions on the arms (a test
    bounds them):

    - The gripper's place and yaw were recorded one physics step (2 ms) earlier: they differ by up to 0.01 in the
      observation's units.
    - `gripper_contact`, in [0, 1], depends on forces that a state does not hold. It is computed anew: it may be
      anything while the fingers hold something, else it is the same.
    - A cube that is tipped by 90 degrees has a yaw that only rounding decides.

    **Raises:** UserError for arrays of another size, and for missing or superfluous buttons.
    """
    world: Any = env.unwrapped
    expected = {"qpos": world.model.nq, "qvel": world.model.nv}
    if hasattr(world, "_cur_button_states"):
        expected["button_states"] = len(world._cur_button_states)
    given = {"qpos": qpos, "qvel": qvel} | ({} if button_states is None else {"button_states": button_states})
    got = {name: np.size(array) for name, array in given.items()}
    if got != expected:
        raise UserError(f"physics: got sizes {got}, expected {expected}; take a row of the environment's own dataset")
    state = [np.asarray(qpos, np.float64), np.asarray(qvel, np.float64)]
    if button_states is None:
        world.set_state(*state)
    else:
        world.set_state(*state, np.array(button_states))
    return _observe(world)


def _observe(world: Any) -> np.ndarray:
    """Compute the observation of the present state and, on the arms, whether it solves the task, as after a step."""
    if hasattr(world, "maze_map"):
        return world.get_ob()
    import mujoco

    world.pre_step()
    mujoco.mj_rnePostConstraint(world.model, world.data)  # contact forces  # pyright: ignore
    world.post_step()
    return world.compute_observation()
