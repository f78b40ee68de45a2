"""Where an agent can be looked at, with the returns recorded nearby: a held-out row, a rollout, a place of a maze."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from evor_eqx.envs.ogbench import MazeLayout, maze_layout
from evor_eqx.errors import UserError
from evor_eqx.evaluation.held_out import known_rows, nearest_rows
from evor_eqx.zoo.packed import Agent

NUM_NEIGHBOURS = 48  # recorded returns that are shown for a state


class Situation(NamedTuple):
    """A state, what the data did there if it is one of the data's, and what was recorded nearby."""

    name: str
    obs: Float[np.ndarray, " obs"]
    data_chunk: Float[np.ndarray, " chunk"] | None
    recorded: Float[np.ndarray, " near"]  # discounted returns of the nearest held-out rows whose returns are known
    physics: dict[str, np.ndarray] | None  # from which rollouts can start, where it is known


class Surroundings:
    """The held-out rows of an agent, ready to be asked for a situation."""

    def __init__(self, agent: Agent):
        self.agent = agent
        self.layout: MazeLayout | None = maze_layout(agent.task) if "maze" in agent.task.dataset else None
        dataset, gamma = agent.dataset, agent.task.gamma
        self._returns = dataset.mc_returns(gamma)[0]
        self._known = known_rows(dataset, gamma)

    @property
    def has_places(self) -> bool:
        """Whether a place alone is a state, as in point mazes."""
        return self.agent.task.dataset.startswith("pointmaze")

    def at_state(self, index: int) -> Situation:
        """The situation at one of the agent's states. Raises UserError for an index that there is not."""
        rows = self.agent.states.rows
        if not 0 <= index < len(rows):
            raise UserError(f"state {index}: expected 0 to {len(rows) - 1}, the held-out states of {self.agent.name}")
        row, h = int(rows[index]), self.agent.chunk_length
        inside = row + h - 1 <= self.agent.dataset.last_row[row]
        chunk = self.agent.dataset.chunks(np.array([row]), h)[0] if inside else None
        obs = self.agent.dataset.obs[row]
        physics = {name: array[index] for name, array in self.agent.states.physics.items()}
        return Situation(f"held-out state {index}", obs, chunk, self.recorded_near(obs), physics)

    def at_obs(self, obs: Float[np.ndarray, " obs"], name: str) -> Situation:
        """The situation at an observation of a rollout, or elsewhere."""
        obs = np.asarray(obs, np.float32)
        physics = {"qpos": obs, "qvel": np.zeros_like(obs)} if self.has_places else None  # a point's place is its state
        return Situation(name, obs, None, self.recorded_near(obs), physics)

    def at_place(self, x: float, y: float) -> Situation:
        """The situation at a place of a point maze, in metres. Raises UserError in a wall, and without such a maze."""
        if self.layout is None or not self.has_places:
            raise UserError(f"{self.agent.task.dataset} has no map of places: choose a held-out state or a rollout")
        walls, unit, offset = self.layout.walls, self.layout.unit, self.layout.offset
        i, j = int(np.floor((y + offset) / unit + 0.5)), int(np.floor((x + offset) / unit + 0.5))
        if not (0 <= i < walls.shape[0] and 0 <= j < walls.shape[1]) or walls[i, j]:
            raise UserError(f"({x:g}, {y:g}) is inside a wall or outside the maze: choose a place in a corridor")
        return self.at_obs(np.array([x, y], np.float32), f"place ({x:g}, {y:g})")

    def recorded_near(self, obs: Float[np.ndarray, " obs"]) -> Float[np.ndarray, " near"]:
        """Recorded returns of the nearest held-out rows; rows near an episode's end are left out, see `known_rows`."""
        near: Int[np.ndarray, " near"] = nearest_rows(self.agent.dataset, obs, self._known, NUM_NEIGHBOURS)
        return self._returns[near]

    def origin(self, obs: Float[np.ndarray, " obs"]) -> Float[np.ndarray, " 2"]:
        """Where candidates' displacements start: the place in a maze, the gripper as (0, 0) elsewhere."""
        return np.asarray(obs[:2]) if self.layout is not None else np.zeros(2, np.float32)
