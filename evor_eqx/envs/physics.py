"""Put an environment into a recorded state of the physics."""

from typing import Any

import gymnasium
import numpy as np

from evor_eqx.errors import UserError


def place(
    env: gymnasium.Env, qpos: np.ndarray, qvel: np.ndarray, button_states: np.ndarray | None = None
) -> np.ndarray:
    """Put an environment that was reset into a recorded state of the physics; returns the observation there.

    It equals the recorded observation up to float32, but for three things on the arms (a test bounds them). The
    gripper's place and yaw are of the state itself, and were recorded one physics step (2 ms) earlier: up to 0.01 apart
    in the observation's units. `gripper_contact`, in [0, 1], depends on forces that a state does not hold and is
    computed anew: while the fingers hold something it may be anything, elsewhere it is the same. And a cube that is
    tipped by 90 degrees has a yaw that only rounding decides.

    Raises UserError for arrays of another size, and if buttons are missing or too many.
    """
    world: Any = env.unwrapped
    expected = {"qpos": world.model.nq, "qvel": world.model.nv}
    if hasattr(world, "_cur_button_states"):
        expected["button_states"] = len(world._cur_button_states)
    given = {"qpos": qpos, "qvel": qvel} | ({} if button_states is None else {"button_states": button_states})
    got = {name: np.size(array) for name, array in given.items()}
    if got != expected:
        raise UserError(f"physics of sizes {got}: expected {expected}; take a row of the environment's own dataset")
    state = [np.asarray(qpos, np.float64), np.asarray(qvel, np.float64)]
    if button_states is None:
        world.set_state(*state)
    else:
        world.set_state(*state, np.array(button_states))
    return _observe(world)


def _observe(world: Any) -> np.ndarray:
    """The observation of the present state. The arms also learn whether it solves the task, as after a step."""
    if hasattr(world, "maze_map"):
        return world.get_ob()
    import mujoco

    world.pre_step()
    mujoco.mj_rnePostConstraint(world.model, world.data)  # contact forces  # pyright: ignore
    world.post_step()
    return world.compute_observation()
