"""What the page gets: an agent's surroundings once, and each state's arrays once. All pictures are computed from them.

`Look` holds the arrays of a state in the kernel; `view` and `scene` make JSON of them, with float32 arrays as bytes.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from evor_eqx.agent.selection import candidate_weights
from evor_eqx.data.censoring import CensoredReturns
from evor_eqx.envs.ogbench import MazeLayout
from evor_eqx.errors import UserError
from evor_eqx.widgets.explorer.decision import NUM_RETURNS, Look
from evor_eqx.widgets.explorer.planes import WORKSPACE
from evor_eqx.widgets.explorer.states import ShownState, StateFinder

DATA, ROLLOUT, PLACE = "held-out data", "a rollout", "a place in the maze"  # where states come from


def as_bytes(array: np.ndarray, name: str) -> bytes:
    """An array as float32, in the bytes in which it travels. Raises UserError, with its `name`, if it is not finite."""
    numbers = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(numbers).all():
        raise UserError(
            f"{name}: got {numbers[~np.isfinite(numbers)][0]}, expected finite numbers to draw; choose another state "
            "or agent, or train this one again"
        )
    return numbers.tobytes()


def scene(finder: StateFinder, name: str) -> dict[str, Any]:
    """An agent's surroundings: the maps, what states there are, and the settings that it starts from.

    **Arguments:**

    - `finder`: the states of the agent.
    - `name`: what tells this scene from others.
    """
    exhibit, layout = finder.exhibit, finder.layout
    places = None if layout is None else exhibit.dataset.obs[exhibit.states.rows][:, :2]
    sources = {DATA: True, ROLLOUT: exhibit.task.has_env, PLACE: finder.has_places}
    groups = finder.plane_groups
    return {
        "id": name,
        "maps": [[each for plane in group for each in _maps(finder, plane)] for group in groups],
        "choices": [finder.planes[group[0]].name for group in groups],
        **walls(layout),
        "states": {
            "count": len(exhibit.states.rows),
            "places": None if places is None else as_bytes(places, "places of the data"),
        },
        "sources": [source for source, is_there in sources.items() if is_there],
        "num_returns": list(NUM_RETURNS),
        "is_softmax": exhibit.agent.selection is candidate_weights,
        "has_goals": layout is not None or (finder.arm is not None and len(finder.arm.goals) > 0),
    }


def view(finder: StateFinder, state: ShownState, look: Look, key: str, **others: Any) -> dict[str, Any]:
    """A state's arrays.

    **Arguments:**

    - `finder`: the states of the agent.
    - `state`: the state.
    - `look`: candidates and distributions that were drawn there.
    - `key`: what tells this view from others.
    - `others`: `fresh`, returns of rollouts from the state; `note`, a sentence about them; and `scene`, the scene's id.
    """
    fresh = others.pop("fresh", None)
    return {
        "key": key,
        "name": state.name,
        "planes": [_plane(finder, index, state, look) for index in range(len(finder.planes))],
        "counts": [_count(look, index) for index in range(len(NUM_RETURNS))],
        "level": float(look.level),
        "has_data": state.data_chunk is not None,
        "recorded": _bounds(state.recorded),
        "fresh": _bounds(fresh),
        "own": _bounds(state.own),
        "can_roll_out": state.physics is not None,
        **others,
    }


def _count(look: Look, index: int) -> dict[str, Any]:
    """The distributions with one number of atoms; equal weights need not travel."""
    atoms, weights = (np.asarray(array)[index] for array in (look.distributions.atoms, look.distributions.weights))
    num = int(np.flatnonzero(weights.any(axis=0))[-1]) + 1  # the others fill up
    atoms, weights = atoms[:, :num], weights[:, :num]
    is_equal = (weights == np.float32(1 / num)).all()
    return {
        "num": num,
        "atoms": as_bytes(atoms, "atoms of the return distributions"),
        "weights": None if is_equal else as_bytes(weights, "weights of the atoms"),
    }


def _bounds(returns: CensoredReturns | None) -> dict[str, Any]:
    """The least and the most that each return can be, and how many are complete, in words."""
    if returns is None:
        return {"low": b"", "high": b"", "text": ""}
    low, high = (as_bytes(bound, "bounds of the returns") for bound in (returns.low, returns.high))
    return {"low": low, "high": high, "text": returns.text}


def _plane(finder: StateFinder, index: int, state: ShownState, look: Look) -> dict[str, Any]:
    plane = finder.planes[index]
    origin, ends = finder.points(plane, state.obs, np.asarray(look.chunks))
    velocity = finder.velocity(state.obs)
    return {
        "origin": [float(x) for x in origin],
        "ends": as_bytes(ends, "ways of the candidates"),
        "things": _things(finder, plane, state.obs),
        "velocity": None if velocity is None else [float(x) for x in velocity],
    }


def _things(finder: StateFinder, plane: Any, obs: Float[np.ndarray, " obs"]) -> list[dict[str, Any]]:
    """What stands in the way or is to be reached: the maze's goal; cubes and their goals."""
    if finder.layout is not None:
        return [{"kind": "goal", "at": [float(x) for x in finder.layout.goal], "size": 0.0}]
    if finder.arm is None:
        return []
    cubes = [("cube", place) for place in finder.arm.cubes(obs)] + [("goal", place) for place in finder.arm.goals]
    return [{"kind": kind, "at": [float(place[i]) for i in plane.axes], "size": 0.04} for kind, place in cubes]


def walls(layout: MazeLayout | None) -> dict[str, Any]:
    """A maze's walls and its range, left, bottom, right, top (m); {"walls": None} without a maze."""
    if layout is None:
        return {"walls": None}
    first = -layout.offset - layout.unit / 2  # cells are centred at multiples of the unit
    height, width = (float(size * layout.unit + first) for size in layout.walls.shape)
    return {
        "walls": layout.walls.tolist(),
        "unit": layout.unit,
        "offset": layout.offset,
        "range": [first, first, width, height],
    }


def _maps(finder: StateFinder, index: int) -> list[dict[str, Any]]:
    """The maps that show a plane. A maze has two: as a whole, and near the candidates."""
    plane = finder.planes[index]
    near = {
        "name": "side" if plane.axes == (0, 2) else "candidates",
        "caption": plane.title,
        "plane": index,
        "labels": list(plane.labels),
        "extent": None if finder.arm is None or plane.axes is None else WORKSPACE[plane.axes],
        "isMap": plane.is_displacement,
    }
    if finder.layout is None:
        return [near]
    left, bottom, right, top = walls(finder.layout)["range"]
    unit = finder.layout.unit
    extent = [left + unit / 2, bottom + unit / 2, right - unit / 2, top - unit / 2]
    return [near | {"name": "maze", "caption": "The maze, and where this leads", "extent": extent}, near]
