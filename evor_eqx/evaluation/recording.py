"""One episode of an agent, recorded in full: observations, candidates, decisions, rewards and pictures.

`record` runs the episode that `rollout.run_episodes` runs for the same setting and seed, by the same code: the keys are
the same, and each chunk is executed to its end. Batches of another size may round differently.
"""

import inspect
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from evor_eqx.agent.agent import Agent
from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.data.returns import discounted_returns
from evor_eqx.envs import rendering
from evor_eqx.envs.generator import global_generator_kept
from evor_eqx.envs.ogbench import MazeLayout, maze_layout
from evor_eqx.envs.tasks import OgbenchTask, Task
from evor_eqx.envs.vector import LocalEnvs
from evor_eqx.evaluation.episodes import Episode
from evor_eqx.evaluation.fitting import check_fits, sizes_of, with_agents_discount
from evor_eqx.evaluation.projection import principal_plane
from evor_eqx.evaluation.rollout import run_episodes
from evor_eqx.system import memory

FRAME_SIZE = 240  # pixels of a frame's side


@dataclass(frozen=True)
class Recording:
    """An episode of T steps with ceil(T / h) decisions, each among N_pi candidates."""

    task: Task
    episode: Episode  # setting, seed, return, success, length
    step: Int[np.ndarray, " decisions"]  # environment step at which the decision was taken, from 0
    obs: Float[np.ndarray, "decisions obs"]
    candidates: Float[np.ndarray, "decisions cand chunk"]
    value: Float[np.ndarray, "decisions cand"]  # Q*
    weights: Float[np.ndarray, "decisions cand"]  # selection probabilities
    index: Int[np.ndarray, " decisions"]  # the candidate that was picked
    atoms: Float[np.ndarray, "decisions atoms"]  # the distribution of the one that was picked
    distribution_weights: Float[np.ndarray, "decisions atoms"]
    reward: Float[np.ndarray, " steps"]
    terminated: bool  # whether the task ended the episode; else a time limit did
    # T + 1 places: (x, y) in a maze, (x, y, z) of the gripper (m); on an own task the principal plane of the states.
    path: Float[np.ndarray, "states dim"]
    goals: Float[np.ndarray, "goals 2"]  # (x, y) of the goal or of the cubes' targets; none for buttons, own tasks
    frames: UInt8[np.ndarray, "decisions height width 3"] | None  # the state of each decision
    layout: MazeLayout | None
    act_size: int

    @property
    def picked_value(self) -> Float[np.ndarray, " decisions"]:
        """Q* of the candidate that was picked."""
        return np.take_along_axis(self.value, self.index[:, None], axis=1)[:, 0]

    @property
    def mean(self) -> Float[np.ndarray, " decisions"]:
        """Mean of the distribution of the candidate that was picked."""
        return np.sum(self.atoms * self.distribution_weights, axis=1)

    @property
    def return_to_go(self) -> CensoredReturns:
        """Discounted return that was realised from each decision on: an interval if the time limit cut it off."""
        reward = np.append(self.reward, 0.0)  # no transition starts at the last state
        mask, last_row = np.ones(len(reward)), np.full(len(reward), len(self.reward))
        mask[len(self.reward) - 1] = 0.0 if self.terminated else 1.0
        returns, weights = discounted_returns(reward, mask, last_row, self.task.gamma)
        return CensoredReturns(returns, weights, self.task.return_bounds).at(self.step)


def record(agent: Agent, task: Task, seed: int, frames: bool = True) -> Recording:
    """Run and record one episode of an agent in this process.

    **Arguments:**

    - `agent`, `task`: who acts, and on what. Returns are discounted as the agent's critic learned them.
    - `seed`: the episode's seed, in [0, 2^32).
    - `frames`: whether to take pictures, where `rendering.prepare` finds a way, or an own environment has
      `render_mode` rgb_array.

    **Raises:**

    UserError for a seed out of range, and for an agent that was not made for the task.
    """
    try:
        return _record(agent, with_agents_discount(agent, task), seed, frames)
    finally:
        memory.give_back()  # of the environment, which is gone by now


def _record(agent: Agent, task: Task, seed: int, frames: bool) -> Recording:
    with global_generator_kept():
        tape = (_ogbench_tape if isinstance(task, OgbenchTask) else _own_tape)(task, frames)
        layout = maze_layout(task) if task.is_maze else None
    try:
        check_fits(agent, task, *sizes_of(tape))
        envs = LocalEnvs(lambda: tape, agent.chunk_length, 1)
        recorder = _Recorder(agent, tape)
        run = run_episodes(envs, recorder, [agent.inference], [seed], reward_timing=task.reward_timing, quiet=True)
    finally:
        _close(tape)
    return Recording(
        task=task,
        episode=run.episodes[0],
        **{name: np.stack(values) for name, values in recorder.rows.items()},
        reward=np.array(tape.rewards),
        terminated=tape.terminated,
        path=tape.places(),
        goals=tape.goals(),
        frames=np.stack(recorder.frames) if tape.draws else None,
        layout=layout,
        act_size=agent.act_size,
    )


class _Tape(gymnasium.Wrapper):
    """Notes each step's reward and state, and takes pictures."""

    def __init__(self, env: gymnasium.Env, draws: bool):
        super().__init__(env)
        self.draws, self.rewards, self.states, self.terminated = draws, [], [], False
        self.world: Any = env.unwrapped

    def reset(self, *, seed=None, options=None):
        outcome = self.env.reset(seed=seed, options=options)
        self.rewards, self.states = [], [self.state(outcome[0])]
        return outcome

    def step(self, action):
        outcome = self.env.step(action)
        self.rewards.append(float(outcome[1]))
        self.terminated = bool(outcome[2])
        self.states.append(self.state(outcome[0]))
        return outcome

    def state(self, obs: np.ndarray) -> np.ndarray:
        """What is noted of a state: the observation."""
        return np.array(obs, np.float64)

    def places(self) -> np.ndarray:
        """The path of the episode's states, in the plane in which they differ most."""
        states = np.stack(self.states)
        return principal_plane(states).project(states)

    def goals(self) -> np.ndarray:
        """Where the task wants something to be, as far as that is a place."""
        return np.zeros((0, 2))

    def picture(self) -> np.ndarray:
        """The present state, from the environment's own camera."""
        return self.world.render()


class _OgbenchTape(_Tape):
    """A tape that notes places in a maze, or of the gripper."""

    def state(self, obs: np.ndarray) -> np.ndarray:
        """(x, y) in a maze, (x, y, z) of the gripper's fingertips on an arm."""
        world = self.world
        return np.array(world.get_xy() if hasattr(world, "get_xy") else world.data.site_xpos[world._pinch_site_id])

    def places(self) -> np.ndarray:
        """The path as it is."""
        return np.stack(self.states)

    def goals(self) -> np.ndarray:
        """The maze's goal, or the cubes' targets."""
        world = self.world
        if hasattr(world, "cur_goal_xy"):
            return np.array(world.cur_goal_xy)[None]
        return world.data.mocap_pos[:, :2].copy()


def _ogbench_tape(task: Task, frames: bool) -> _Tape:
    draws = frames and not rendering.prepare()
    tape = _OgbenchTape(task.make_env(width=FRAME_SIZE, height=FRAME_SIZE) if draws else task.make_env(), draws)
    if draws:  # shadows take nine tenths of a picture's time where there is no GPU: 153 ms of 161 in a maze
        tape.world.model.vis.quality.shadowsize = 0
    return tape


def _own_tape(task: Task, frames: bool) -> _Tape:
    """A tape that takes pictures if the environment gives any: it may need a library that is not there."""
    asks = frames and "render_mode" in inspect.signature(task.make_env).parameters
    env = task.make_env(render_mode="rgb_array") if asks else task.make_env()
    tape = _Tape(env, frames and env.render_mode == "rgb_array")
    if tape.draws:
        env.reset(seed=0)
        try:
            tape.picture()
        except gymnasium.error.DependencyNotInstalled:
            tape.draws = False
    return tape


@dataclass
class _Recorder:
    """An agent on one environment. It keeps every decision, and the state in which the decision was made."""

    agent: Agent
    tape: _Tape
    rows: dict[str, list[Any]] = field(default_factory=dict)
    frames: list[np.ndarray] = field(default_factory=list)

    def act_each(self, obs, keys, settings):
        """As that of the agent; the first of each axis is the one environment's."""
        batch = self.agent.decide_each(obs, keys, settings)
        decision = jax.tree.map(lambda array: array[0], batch)
        row = {
            "step": np.array(len(self.tape.rewards)),
            "obs": obs[0],
            "candidates": decision.candidates,
            "value": decision.value,
            "weights": decision.weights,
            "index": decision.index,
            "atoms": decision.distribution.atoms[decision.index],
            "distribution_weights": decision.distribution.weights[decision.index],
        }
        for name, value in row.items():
            self.rows.setdefault(name, []).append(value)
        if self.tape.draws:
            self.frames.append(self.tape.picture())
        return decision.candidates[[decision.index]]


def _close(env: gymnasium.Env) -> None:
    """Close an environment and its renderer, which OGBench leaves open."""
    world: Any = env.unwrapped
    renderer = getattr(world, "custom_renderer", None) or getattr(world, "_renderer", None)
    if renderer is not None:
        renderer.close()
    env.close()
