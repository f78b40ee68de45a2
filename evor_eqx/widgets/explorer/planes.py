"""Two coordinates in which chunks of actions are drawn: where they lead, or a plane through the space of chunks."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from evor_eqx.envs.ants import AntBody
from evor_eqx.envs.tasks import Task
from evor_eqx.evaluation.projection import principal_plane
from evor_eqx.zoo.exhibits import Exhibit

# Of OGBench's arms, by the two coordinates that are shown: left, bottom, right, top (m).
WORKSPACE = {(0, 1): [0.25, -0.35, 0.6, 0.35], (0, 2): [0.25, 0.0, 0.6, 0.35]}
FROM_ABOVE = ("x (m), away from the arm", "y (m)")  # the axes' names
_METRES = {"pointmaze": 0.2, "cube": 0.05, "scene": 0.05, "puzzle": 0.05}  # OGBench: of one action of 1 in x or y
_NUM_CHUNKS = 2048  # of the data, from which principal components are computed
_MAX_COORDINATES = 8  # of an action, that are offered in pairs


@dataclass(frozen=True)
class Plane:
    """How chunks of actions at an observation become points, and what the axes mean."""

    name: str
    title: str
    labels: tuple[str, str]
    project: Callable[[Float[np.ndarray, " obs"], Float[np.ndarray, "num chunk"]], Float[np.ndarray, "num 2"]]
    axes: tuple[int, int] | None = None  # the coordinates that are shown, if points are places in metres

    @property
    def is_displacement(self) -> bool:
        """Whether a point is a way from the present place, in metres."""
        return self.axes is not None


def planes(exhibit: Exhibit) -> list[Plane]:
    """The planes that an exhibit's chunks can be drawn in, the best one first.

    In OGBench's point mazes and on its arms an action moves a point, so a chunk leads somewhere. An ant's chunks are
    simulated. Elsewhere chunks are drawn by the principal components of the data's chunks, or by two coordinates of the
    action, averaged over the chunk.
    """
    task, act_size = exhibit.task, exhibit.agent.act_size
    if task.family == "antmaze":
        body, title = AntBody(task), "Where the ant goes by each candidate"
        return [Plane("where they lead", title, ("x (m)", "y (m)"), body.ways, (0, 1))]
    if task.family in _METRES:

        def ways(title: str, axes: tuple[int, int]) -> Plane:
            labels = (f"{'xyz'[axes[0]]} (m)", f"{'xyz'[axes[1]]} (m)")
            return Plane("where they lead", title, labels, lambda _, c: displacement(task, c, act_size, axes), axes)

        above = ways("Where candidates lead" if task.is_maze else "Where candidates lead, from above", (0, 1))
        return [above] if task.is_maze else [above, ways("Where candidates lead, from the side", (0, 2))]
    chunks = _chunks_of_data(exhibit)
    return ([_principal(chunks)] if len(chunks) > 1 or act_size == 1 else []) + _pairs(act_size)


def displacement(
    task: Task, chunks: Float[np.ndarray, "num chunk"], act_size: int, axes: tuple[int, int] = (0, 1)
) -> Float[np.ndarray, "num 2"]:
    """Where chunks would lead if nothing were in the way: the sum of their actions in two coordinates.

    **Arguments:**

    - `task`: a task of a point maze or an arm; its environment says how far an action of 1 leads.
    - `chunks`: chunks of actions, flattened.
    - `act_size`: the length of an action.
    - `axes`: the two coordinates: (0, 1) from above, (0, 2) from the side.

    **Returns:**

    Displacements in metres, of the maze's point or of the gripper.
    """
    acts = np.asarray(chunks).reshape(len(chunks), -1, act_size)
    return _METRES[task.family] * acts[:, :, list(axes)].sum(axis=1)


def _chunks_of_data(exhibit: Exhibit) -> Float[np.ndarray, "num chunk"]:
    """Chunks that were taken in the data, evenly spread."""
    dataset, h = exhibit.dataset, exhibit.agent.chunk_length
    inside = dataset.with_chunk(dataset.transitions, h)
    return dataset.chunks(inside[:: max(1, len(inside) // _NUM_CHUNKS)], h)


def _principal(chunks: Float[np.ndarray, "num chunk"]) -> Plane:
    plane = principal_plane(chunks if len(chunks) else np.zeros((1, chunks.shape[1])))
    labels = ("first principal component of a chunk", "second principal component")
    title = "Candidates among the data's chunks"
    return Plane("principal components", title, labels, lambda _, chunks: plane.project(chunks))


def _pairs(act_size: int) -> list[Plane]:
    """A plane for each two coordinates of an action."""

    def of(i: int, j: int) -> Plane:
        def project(_: np.ndarray, chunks: np.ndarray) -> np.ndarray:
            return np.asarray(chunks).reshape(len(chunks), -1, act_size).mean(axis=1)[:, [i, j]]

        labels = (f"action {i}, mean over the chunk (-1 to 1)", f"action {j}")
        return Plane(f"actions {i} and {j}", "Candidates by two coordinates", labels, project)

    return [of(i, j) for i, j in itertools.combinations(range(min(act_size, _MAX_COORDINATES)), 2)]
