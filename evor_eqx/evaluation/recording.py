"""One episode of an agent, recorded in full: what it saw, what it considered, what it did, and what came of it.

`record` runs the episode that `evaluate.run_episodes` runs for the same setting and seed, through the same code: the
same keys, each chunk executed to its end (up to the rounding of larger batches; see there).
"""

from dataclasses import dataclass, field
from typing import Any

import gymnasium
import jax
import numpy as np
from jaxtyping import Float, Int, UInt8

from evor_eqx.agent.agent import deciding_agent
from evor_eqx.config import Setting
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.envs import rendering
from evor_eqx.envs.ogbench import MazeLayout, make_env, maze_layout
from evor_eqx.envs.tasks import Task
from evor_eqx.envs.vector import LocalEnvs, global_generator_kept
from evor_eqx.errors import UserError
from evor_eqx.evaluation.rollout import Episode, run_episodes
from evor_eqx.policy import FlowPolicy

FRAME_SIZE = 240  # pixels of a frame's side
KNOWN = 0.2  # largest weight behind a cut with which a realised return still says something


@dataclass(frozen=True)
class Recording:
    """An episode of T steps with D = ceil(T / h) decisions, N_pi candidates each."""

    task: Task
    episode: Episode  # setting, seed, return, success, length
    step: Int[np.ndarray, " decisions"]  # environment step at which the decision was taken, from 0
    obs: Float[np.ndarray, "decisions obs"]
    candidates: Float[np.ndarray, "decisions cand chunk"]
    value: Float[np.ndarray, "decisions cand"]  # Q*
    weights: Float[np.ndarray, "decisions cand"]  # selection probabilities
    index: Int[np.ndarray, " decisions"]  # the candidate that was picked
    atoms: Float[np.ndarray, "decisions atoms"]  # the law of the one that was picked
    law_weights: Float[np.ndarray, "decisions atoms"]
    reward: Float[np.ndarray, " steps"]
    path: Float[np.ndarray, "states dim"]  # T + 1 places: (x, y) in a maze, (x, y, z) of the gripper (m)
    goals: Float[np.ndarray, "goals 2"]  # (x, y) of the goal or of the cubes' targets; none for buttons
    frames: UInt8[np.ndarray, "decisions height width 3"] | None  # what the decision was taken from
    layout: MazeLayout | None
    act_size: int

    @property
    def picked_value(self) -> Float[np.ndarray, " decisions"]:
        """Q* of the candidate that was picked."""
        return np.take_along_axis(self.value, self.index[:, None], axis=1)[:, 0]

    @property
    def mean(self) -> Float[np.ndarray, " decisions"]:
        """Mean of the law of the candidate that was picked."""
        return np.sum(self.atoms * self.law_weights, axis=1)

    @property
    def return_to_go(self) -> Float[np.ndarray, " decisions"]:
        """Discounted return that was realised from each decision on; see `weight_behind`."""
        returns = np.zeros(len(self.reward) + 1)
        for step in reversed(range(len(self.reward))):
            returns[step] = self.reward[step] + self.task.gamma * returns[step + 1]
        return returns[self.step]

    @property
    def realised(self) -> Float[np.ndarray, " decisions"]:
        """`return_to_go` where at most `KNOWN` of the weight lies behind a cut, else nan."""
        return np.where(self.weight_behind <= KNOWN, self.return_to_go, np.nan)

    @property
    def weight_behind(self) -> Float[np.ndarray, " decisions"]:
        """What `return_to_go` leaves out: gamma^(T - step), the weight of what a time limit cut; 0 at success."""
        cut = 0.0 if self.episode.success else 1.0
        return cut * self.task.gamma ** (len(self.reward) - self.step)


def record(
    policy: FlowPolicy,
    critic: AbstractCritic,
    task: Task,
    setting: Setting,
    num_flow_steps: int,
    seed: int,
    frames: bool = True,
) -> Recording:
    """Run and record one episode in this process; `frames` asks for pictures, where `rendering.prepare` finds a way.

    Raises UserError for a seed outside [0, 2^32) and for a policy that was not made for the task.
    """
    draws = frames and not rendering.prepare()
    with global_generator_kept():
        tape = _Tape(make_env(task, width=FRAME_SIZE, height=FRAME_SIZE) if draws else make_env(task), draws)
        layout = maze_layout(task) if "maze" in task.dataset else None
    try:
        horizon = chunk_length(policy, tape, task)
        envs = LocalEnvs(lambda: tape, horizon, 1)
        recorder = _Recorder(deciding_agent(policy, critic, num_flow_steps), tape)
        run = run_episodes(envs, recorder, [setting], [seed], reward_timing=task.reward_timing, quiet=True)
        goals = _goals(tape.unwrapped)
    finally:
        _close(tape)
    return Recording(
        task=task,
        episode=run.episodes[0],
        **{name: np.stack(values) for name, values in recorder.rows.items()},
        reward=np.array(tape.rewards),
        path=np.stack(tape.path),
        goals=goals,
        frames=np.stack(recorder.frames) if draws else None,
        layout=layout,
        act_size=policy.chunk_size // horizon,
    )


def chunk_length(policy: FlowPolicy, env: gymnasium.Env, task: Task) -> int:
    """h, actions in the policy's chunks. Raises UserError for a policy that was not made for the task."""
    spaces: list[Any] = [env.observation_space, env.action_space]
    (obs_size,), (act_size,) = (space.shape for space in spaces)
    got = policy.features.mean.shape[0], policy.chunk_size
    if got[0] != obs_size or got[1] % act_size:
        raise UserError(
            f"policy for observations of size {got[0]} and chunks of size {got[1]}: {task.name} has observations of "
            f"size {obs_size} and actions of size {act_size}; choose a policy of {task.dataset}"
        )
    return got[1] // act_size


class _Tape(gymnasium.Wrapper):
    """Notes each step's reward and place, and takes pictures."""

    def __init__(self, env: gymnasium.Env, draws: bool):
        super().__init__(env)
        self.draws, self.rewards, self.path = draws, [], []
        world: Any = env.unwrapped
        if draws:  # shadows take nine tenths of a picture's time where there is no GPU: 153 ms of 161 in a maze
            world.model.vis.quality.shadowsize = 0

    def reset(self, *, seed=None, options=None):
        outcome = self.env.reset(seed=seed, options=options)
        self.rewards, self.path = [], [_place(self.unwrapped)]
        return outcome

    def step(self, action):
        outcome = self.env.step(action)
        self.rewards.append(float(outcome[1]))
        self.path.append(_place(self.unwrapped))
        return outcome

    def picture(self) -> np.ndarray:
        """The present state, from OGBench's camera."""
        world: Any = self.unwrapped
        return world.render()


@dataclass
class _Recorder:
    """An `evaluate.Actor` for one environment that keeps what it decides, and what the decision was taken from."""

    decide: Any
    tape: _Tape
    rows: dict[str, list[Any]] = field(default_factory=dict)
    frames: list[np.ndarray] = field(default_factory=list)

    def __call__(self, obs, keys, num_candidates, num_returns, tau_r, tau_q):
        batch = self.decide(obs, keys, num_candidates, num_returns, tau_r, tau_q)
        decision = jax.tree.map(lambda array: np.asarray(array)[0], batch)
        row = {
            "step": np.array(len(self.tape.rewards)),
            "obs": obs[0],
            "candidates": decision.candidates[:num_candidates],
            "value": decision.value[:num_candidates],
            "weights": decision.weights[:num_candidates],
            "index": decision.index,
            "atoms": decision.law.atoms[decision.index],
            "law_weights": decision.law.weights[decision.index],
        }
        for name, value in row.items():
            self.rows.setdefault(name, []).append(value)
        if self.tape.draws:
            self.frames.append(self.tape.picture())
        return decision.candidates[[decision.index]]


def _place(world: Any) -> np.ndarray:
    """(x, y) in a maze, (x, y, z) of the gripper's fingertips on an arm."""
    return np.array(world.get_xy() if hasattr(world, "get_xy") else world.data.site_xpos[world._pinch_site_id])


def _goals(world: Any) -> np.ndarray:
    """Where the task wants something to be, as far as that is a place: the maze's goal, or the cubes' targets."""
    return np.array(world.cur_goal_xy)[None] if hasattr(world, "cur_goal_xy") else world.data.mocap_pos[:, :2].copy()


def _close(env: gymnasium.Env) -> None:
    """Close an environment and its renderer, which OGBench leaves open."""
    world: Any = env.unwrapped
    renderer = getattr(world, "custom_renderer", None) or getattr(world, "_renderer", None)
    if renderer is not None:
        renderer.close()
    env.close()
