"""States to look at, each with the returns recorded near it: held-out rows, states of a rollout, places in a maze."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.data.returns import known_rows, recorded_returns
from evor_eqx.envs.ants import ANT_VELOCITY
from evor_eqx.envs.arms import ARMS, ArmLayout, arm_layout
from evor_eqx.envs.ogbench import MazeLayout, maze_layout
from evor_eqx.errors import UserError
from evor_eqx.evaluation.held_out import nearest_rows
from evor_eqx.widgets.explorer.planes import Plane, planes
from evor_eqx.zoo.exhibits import Exhibit

NUM_NEIGHBOURS = 48  # recorded returns that are shown for a state


class ShownState(NamedTuple):
    """A state that is looked at, and the recorded returns near it."""

    name: str
    obs: Float[np.ndarray, " obs"]
    data_chunk: Float[np.ndarray, " chunk"] | None  # what the data did there; None if it is no row of the data
    recorded: CensoredReturns  # [near], of the nearest held-out rows that were recorded for long enough
    physics: dict[str, np.ndarray] | None  # from which rollouts can start; None if it is not known
    own: CensoredReturns | None = None  # [], what followed this very state in the data; None if it is no row of them


class StateFinder:
    """Finds states of an exhibit: held-out ones by index, any other by observation or by place."""

    def __init__(self, exhibit: Exhibit):
        self.exhibit = exhibit
        self.layout: MazeLayout | None = maze_layout(exhibit.task) if exhibit.task.is_maze else None
        self.arm: ArmLayout | None = arm_layout(exhibit.task) if exhibit.task.family in ARMS else None
        dataset, gamma = exhibit.dataset, exhibit.task.gamma
        self._returns = recorded_returns(dataset, gamma, exhibit.task.return_bounds)
        self._known = known_rows(dataset, gamma, 0.01)
        self.planes = planes(exhibit)

    @property
    def plane_groups(self) -> list[list[int]]:
        """The planes that are shown together, by index: places from all sides, others one at a time."""
        indices = list(range(len(self.planes)))
        return [indices] if self.planes[0].is_displacement else [[index] for index in indices]

    @property
    def has_places(self) -> bool:
        """Whether a position alone is a full state, as in point mazes."""
        return self.exhibit.task.is_pointmaze

    def at_state(self, index: int) -> ShownState:
        """The exhibit's held-out state of this index. Raises UserError if there is none."""
        exhibit, rows = self.exhibit, self.exhibit.states.rows
        if not 0 <= index < len(rows):
            raise UserError(f"state {index}: expected 0 to {len(rows) - 1}, the held-out states of {exhibit.name}")
        row, h = int(rows[index]), exhibit.agent.chunk_length
        inside = exhibit.dataset.with_chunk(np.array([row]), h)
        chunk = exhibit.dataset.chunks(inside, h)[0] if len(inside) else None
        obs = exhibit.dataset.obs[row]
        physics = {name: array[index] for name, array in exhibit.states.physics.items()} or None
        own = self._returns.at(row)
        return ShownState(f"held-out state {index}", obs, chunk, self.recorded_near(obs), physics, own)

    def at_obs(self, obs: Float[np.ndarray, " obs"], name: str) -> ShownState:
        """The state with this observation, of a rollout or elsewhere; `name` appears below the controls."""
        obs = np.asarray(obs, np.float32)
        physics = {"qpos": obs, "qvel": np.zeros_like(obs)} if self.has_places else None  # a point's place is its state
        return ShownState(name, obs, None, self.recorded_near(obs), physics)

    def at_place(self, x: float, y: float) -> ShownState:
        """The state at a place of a point maze, in metres. Raises UserError in a wall, and without such a maze."""
        if self.layout is None or not self.has_places:
            raise UserError(
                f"states of {self.exhibit.task.dataset} cannot be chosen by place: choose a held-out state or a rollout"
            )
        walls, unit, offset = self.layout.walls, self.layout.unit, self.layout.offset
        i, j = (np.floor((coordinate + offset) / unit + 0.5) for coordinate in (y, x))  # any number, also nan
        if not (0 <= i < walls.shape[0] and 0 <= j < walls.shape[1]) or walls[int(i), int(j)]:
            raise UserError(f"({x:g}, {y:g}) is inside a wall or outside the maze: choose a place in a corridor")
        return self.at_obs(np.array([x, y], np.float32), f"place ({x:g}, {y:g})")

    def recorded_near(self, obs: Float[np.ndarray, " obs"]) -> CensoredReturns:
        """Recorded returns [near] of the nearest held-out rows: each complete, or an interval that is hardly wide.

        Rows near an episode's end are left out, whatever came of them, see `known_rows`.
        """
        near: Int[np.ndarray, " near"] = nearest_rows(self.exhibit.dataset, obs, self._known, NUM_NEIGHBOURS)
        return self._returns.at(near)

    def points(
        self, plane: Plane, obs: Float[np.ndarray, " obs"], chunks: Float[np.ndarray, "num chunk"]
    ) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, "num 2"]]:
        """Where ways begin in a plane, at the present place or else at a chunk of zeros; and where these chunks end."""
        if plane.axes is None:
            return plane.project(obs, np.zeros_like(chunks[:1]))[0], plane.project(obs, chunks)
        here = self.place(obs)[list(plane.axes)]
        return here, here + plane.project(obs, chunks)

    def velocity(self, obs: Float[np.ndarray, " obs"]) -> Float[np.ndarray, " 2"] | None:
        """How fast an ant moves in the maze, in m/s; None for what has no velocity of its own."""
        return np.asarray(obs)[ANT_VELOCITY] if self.exhibit.task.family == "antmaze" else None

    def place(self, obs: Float[np.ndarray, "*b obs"]) -> Float[np.ndarray, "*b dim"]:
        """Where an observation is, in metres: (x, y) in a maze, (x, y, z) of the gripper."""
        return np.asarray(obs)[..., :2] if self.arm is None else self.arm.gripper(obs)


def check_shown(exhibit: Exhibit) -> None:
    """Raise UserError for an agent that the explorer cannot show."""
    if exhibit.agent.critic is None:
        raise UserError(f"{exhibit.name} has no critic: expected an agent with one, because pictures show Q*")
    if exhibit.agent.inference.num_search_steps:
        raise UserError(
            f"{exhibit.name} searches for candidates (num_search_steps is not 0): expected an agent that draws "
            "them, as the pictures do; open `agent.replace(num_search_steps=0)`"
        )
    if len(exhibit.states.rows) == 0:
        raise UserError(f"{exhibit.name} has no held-out states: expected some to look at; use other data")
