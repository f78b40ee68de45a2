"""The ant on an open plane with a direction to walk in, as OGBench's `GymXYWrapper` gives it, with seeded draws."""

from typing import Any

import equinox as eqx
import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from evor_eqx.data.generation.ant_actor import AntActor
from evor_eqx.training.expert.sac import Transition

OBS_SIZE, ACT_SIZE = 29, 8  # the physics without the place (27) and the direction (2)
SECONDS = 0.1  # of a step
_TURN_EVERY, _EPISODE_STEPS = 100, 1000


class AntState(eqx.Module):
    """All that a step of `DirectedAnt` depends on."""

    physics: Float[np.ndarray, " physics"]
    direction: Float[np.ndarray, " 2"]
    num_steps: Int[np.ndarray, ""]  # since the reset


class DirectedAnt:
    """OGBench's `online-ant-v0` with a direction; the reward is the way along it, in metres per step (0.1 s).

    A new direction is drawn every 100 steps. An episode ends in failure if the torso leaves heights 0.2 to 1 m, and is
    cut after 1,000 steps. All draws come from the generators that are given.
    """

    def __init__(self, rng: np.random.Generator):
        import ogbench.online_locomotion  # noqa: F401  (registers the environment)

        self.env: Any = gymnasium.make("online-ant-v0").unwrapped
        self.reset(rng)

    def reset(self, rng: np.random.Generator) -> None:
        """Begin an episode."""
        self.env.reset(seed=int(rng.integers(2**63)))
        self.direction, self.num_steps = _direction(rng), 0

    @property
    def obs(self) -> Float[np.ndarray, " obs"]:
        """The present observation."""
        return np.concatenate([self.env._get_obs(), self.direction])

    def step(self, act: Float[np.ndarray, " act"], rng: np.random.Generator) -> tuple[float, bool]:
        """Take one step. Returns the reward, and whether the episode ended in failure."""
        before = self.env.data.qpos[:2].copy()
        self.env.do_simulation(act, self.env.frame_skip)
        reward = float((self.env.data.qpos[:2] - before) @ self.direction)
        self.num_steps += 1
        if self.num_steps % _TURN_EVERY == 0:
            self.direction = _direction(rng)
        return reward, not self.env.is_healthy

    @property
    def is_cut(self) -> bool:
        """Whether the episode has had all its steps."""
        return self.num_steps >= _EPISODE_STEPS

    @property
    def state(self) -> AntState:
        """A copy of the state, from which `restore` goes on bit for bit."""
        import mujoco

        kind = mujoco.mjtState.mjSTATE_INTEGRATION  # pyright: ignore
        physics = np.empty(mujoco.mj_stateSize(self.env.model, kind))  # pyright: ignore
        mujoco.mj_getState(self.env.model, self.env.data, physics, kind)  # pyright: ignore
        return AntState(physics, self.direction.copy(), np.array(self.num_steps))

    def restore(self, state: AntState) -> None:
        """Set the state."""
        import mujoco

        kind = mujoco.mjtState.mjSTATE_INTEGRATION  # pyright: ignore
        mujoco.mj_setState(self.env.model, self.env.data, np.asarray(state.physics), kind)  # pyright: ignore
        self.direction, self.num_steps = np.array(state.direction), int(state.num_steps)


def collect(ant: DirectedAnt, actor: AntActor | None, num_steps: int, rng: np.random.Generator) -> Transition:
    """Take steps with draws from the actor, or with uniform actions if there is none.

    **Returns:** the steps, [num_steps]. `next_obs` has the direction that the next step is rewarded for.
    """
    rows = []
    for _ in range(num_steps):
        obs = ant.obs
        act = rng.uniform(-1.0, 1.0, ACT_SIZE) if actor is None else actor.draw(obs, rng)
        reward, has_failed = ant.step(act, rng)
        rows.append((obs, act, reward, not has_failed, ant.obs))
        if has_failed or ant.is_cut:
            ant.reset(rng)
    return Transition(*(jnp.array(np.array(column, np.float32)) for column in zip(*rows, strict=True)))


def walking_speed(actor: AntActor, seed: int = 0, num_directions: int = 8, num_steps: int = 100) -> float:
    """Mean speed along the direction, in m/s, of the actor's mean action; one episode for each direction.

    **Arguments:**

    - `actor`: who walks.
    - `seed`: of resets and directions.
    - `num_directions`: how many episodes, each in a direction of its own.
    - `num_steps`: steps of 0.1 s of an episode, at most 100. It counts with speed 0 after a fall.
    """
    way, rng = 0.0, np.random.default_rng(seed)
    ant = DirectedAnt(rng)
    for _ in range(num_directions):
        ant.reset(rng)
        for _ in range(num_steps):
            reward, has_failed = ant.step(actor.mean_action(ant.obs), rng)
            way += reward
            if has_failed:
                break
    return way / (num_directions * num_steps * SECONDS)


def _direction(rng: np.random.Generator) -> Float[np.ndarray, " 2"]:
    direction = rng.normal(size=2)
    return direction / np.linalg.norm(direction)
