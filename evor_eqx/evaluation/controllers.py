"""OGBench's controller beside an agent, on tasks of cubes: do its candidates limit it, or its choice among them?

The data come from such controllers. One that knows the physics and the goal can propose a chunk or choose one.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from evor_eqx.agent.agent import Agent
from evor_eqx.distributions import soft_value
from evor_eqx.envs.generator import global_generator_kept
from evor_eqx.envs.physics import place
from evor_eqx.envs.tasks import Task
from evor_eqx.envs.vector import LocalEnvs
from evor_eqx.errors import UserError
from evor_eqx.evaluation.episodes import Episode
from evor_eqx.evaluation.held_out import distributions
from evor_eqx.evaluation.rollout import run_episodes

PARTS = ("nothing", "choice", "candidate", "everything")

_NEAR = 0.02  # metres from its goal at which a cube rests; the task asks for 0.04
_WIDE = 0.06  # metres between the centres of cubes that are not in each other's way
_LIFTED = 0.035  # height of the centre of a cube that is not on the table, 0.02 if it is


def assisted_episodes(agent: Agent, task: Task, part: str, seeds: Sequence[int]) -> list[Episode]:
    """Episodes in which OGBench's controller plays a part of an agent.

    **Arguments:**

    - `agent`: the agent, with its inference settings.
    - `task`: a task of a cube dataset.
    - `part`: what the controller does. `nothing`: the agent acts alone. `choice`: it picks the agent's candidate that
      is nearest to its own chunk, by Euclidean distance of the actions. `candidate`: its chunk replaces the last
      candidate, and the agent picks by its critic and its selection rule. `everything`: it acts alone.
    - `seeds`: an episode for each.

    **Raises:**

    UserError for other tasks and other parts.
    """
    if part not in PARTS:
        raise UserError(f"part: got {part!r}, expected one of {', '.join(PARTS)}; correct the name")
    controller = CubeController(task, agent.chunk_length)
    with global_generator_kept():
        env = task.make_env()
    envs = LocalEnvs(lambda: env, agent.chunk_length, 1)
    try:
        actor = _Assisted(agent, part, controller, env)
        return run_episodes(envs, actor, [agent.inference], seeds, reward_timing=task.reward_timing).episodes
    finally:
        envs.close()
        controller.twin.close()


@dataclass
class _Assisted:
    """An agent of which the controller plays a part, on one environment."""

    agent: Agent
    part: str
    controller: "CubeController"
    env: gymnasium.Env

    def act_each(self, obs: np.ndarray, keys: Any, settings: Sequence[Any]) -> np.ndarray:
        """A chunk for the one environment."""
        if self.part == "nothing":
            return self.agent.act_each(obs, keys, settings)
        chunk = self.controller.chunk(self.env)
        if self.part == "everything":
            return chunk[None]
        candidates = np.asarray(self.agent.decide_each(obs, keys, settings).candidates[0])
        if self.part == "choice":
            return candidates[np.argmin(np.linalg.norm(candidates - chunk, axis=1))][None]
        candidates = np.concatenate([candidates[:-1], chunk[None]])
        rng = np.random.default_rng(np.asarray(jax.random.key_data(keys[0])))
        return candidates[rng.choice(len(candidates), p=self._weights(obs[0], candidates))][None]

    def _weights(self, obs: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        agent, inference = self.agent, self.agent.inference
        assert agent.critic is not None  # `decide_each` refuses such an agent
        rows, num_steps = jnp.broadcast_to(obs, (len(candidates), len(obs))), jnp.asarray(inference.num_flow_steps)
        found = distributions(agent.critic, rows, jnp.asarray(candidates), inference.num_returns, num_steps)
        weights = agent.selection(soft_value(found, inference.tau_r), jnp.asarray(inference.tau_q))
        weights = np.asarray(weights, np.float64)
        return weights / weights.sum()


class CubeController:
    """OGBench's closed-loop controller for cubes. It moves one cube after the other to its goal.

    A cube whose goal is taken by another cube waits. If all wait for each other, as in a swap, one goes aside first.
    """

    def __init__(self, task: Task, chunk_length: int):
        """`task`: a task of a cube dataset; `chunk_length`: h. Raises UserError for other tasks."""
        if task.family != "cube":
            raise UserError(f"{task.name} has no controller here: expected a task of a cube dataset")
        controllers = importlib.import_module("ogbench.manipspace.oracles.markov.cube_markov")
        with global_generator_kept():
            self.twin = task.make_env()
            self.twin.reset(seed=0)
            self._controller: Any = controllers.CubeMarkovOracle(env=self.twin)
            self._controller.reset(None, None)
        self._controller._final_pos, self._controller._final_yaw = np.array([0.425, 0.0, 0.3]), 0.0
        self.chunk_length = chunk_length

    def chunk(self, env: gymnasium.Env) -> Float[np.ndarray, " chunk"]:
        """The h actions that the controller would take from the present state of a task's environment.

        They are simulated in another environment; `env` is only read. Zeros if every cube is at its goal.
        """
        given: Any = env.unwrapped
        twin: Any = self.twin.unwrapped
        place(self.twin, given.data.qpos, given.data.qvel)
        twin.data.mocap_pos[:] = given.data.mocap_pos
        actions = np.zeros((self.chunk_length, 5), np.float32)
        move = next_move(_cubes(twin), _goals(twin), _held(twin))
        if move is None:
            return actions.ravel()
        cube, goal = move
        for action in actions:
            target = {"block": cube, "block_pos": goal, "block_yaw": np.zeros(1)}
            info = twin.compute_ob_info() | {f"privileged/target_{name}": value for name, value in target.items()}
            action[:] = self._controller.select_action(None, info)
            twin.step(action)
        return actions.ravel()


def next_move(
    cubes: Float[np.ndarray, "cubes 3"], goals: Float[np.ndarray, "cubes 3"], held: int | None
) -> tuple[int, Float[np.ndarray, " 3"]] | None:
    """Which cube goes where next: its number and its place, in metres; None if all are at their goals.

    **Arguments:**

    - `cubes`, `goals`: places of the cubes' centres, and where the task wants them.
    - `held`: the cube in the gripper, which goes on.
    """
    away, order = np.linalg.norm(cubes - goals, axis=1), np.argsort(goals[:, 2], kind="stable")
    waiting = [cube for cube in order.tolist() if away[cube] > _NEAR]
    free = [cube for cube in waiting if not _taken(cubes, cube, goals[cube])]
    if held is not None and held in waiting:
        return held, goals[held] if held in free else _aside(cubes, held, goals)
    if free:
        return free[0], goals[free[0]]
    return (waiting[0], _aside(cubes, waiting[0], goals)) if waiting else None


def _taken(cubes: Float[np.ndarray, "cubes 3"], cube: int, goal: Float[np.ndarray, " 3"]) -> bool:
    """Whether another cube is at the goal of this one, or above it, or what the goal lies on is missing."""
    others = np.delete(cubes, cube, axis=0)
    across = np.linalg.norm(others[:, :2] - goal[:2], axis=1)
    is_in_the_way = (across < _WIDE) & (others[:, 2] > goal[2] - _NEAR)
    is_below = (across < _NEAR) & (np.abs(others[:, 2] - goal[2] + 0.04) < _NEAR)
    return bool(is_in_the_way.any() or (goal[2] > _LIFTED and not is_below.any()))


def _aside(
    cubes: Float[np.ndarray, "cubes 3"], cube: int, goals: Float[np.ndarray, "cubes 3"]
) -> Float[np.ndarray, " 3"]:
    """A place on the table for a cube, as far as possible from the others and from all goals."""
    x, y = np.meshgrid(np.linspace(0.3, 0.55, 6), np.linspace(-0.25, 0.25, 11), indexing="ij")
    places = np.stack([x.ravel(), y.ravel()], axis=1)
    taken = np.concatenate([np.delete(cubes, cube, axis=0), goals])[:, :2]
    distance = np.linalg.norm(places[:, None] - taken, axis=-1).min(axis=1)
    return np.array([*places[np.argmax(distance)], 0.02])


def _cubes(world: Any) -> Float[np.ndarray, "cubes 3"]:
    return np.array([world.data.joint(f"object_joint_{i}").qpos[:3] for i in range(world._num_cubes)])


def _goals(world: Any) -> Float[np.ndarray, "cubes 3"]:
    return world.data.mocap_pos[world._cube_target_mocap_ids[: world._num_cubes]].copy()


def _held(world: Any) -> int | None:
    """The cube that the gripper has lifted."""
    cubes = _cubes(world)
    away = np.linalg.norm(cubes - world.data.site_xpos[world._pinch_site_id], axis=1)
    held = np.flatnonzero((cubes[:, 2] > _LIFTED) & (away < 0.04))
    return int(held[0]) if len(held) else None
