"""Recorded episodes as one HTML file: pictures, distributions and choices, with a bar to play them."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from evor_eqx.evaluation.recording import Recording
from evor_eqx.widgets.explorer.arrays import as_bytes, walls
from evor_eqx.widgets.explorer.planes import FROM_ABOVE, WORKSPACE
from evor_eqx.widgets.front.page import page
from evor_eqx.widgets.rollouts.film import named
from evor_eqx.widgets.rollouts.panels import candidate_ends
from evor_eqx.widgets.rollouts.viewer import outcome

_QUALITY = 75  # of a picture, of 100
_INTRO = (
    "An agent acts from the same start with each of these settings. At each decision it draws N_π candidates, "
    "expects a distribution of returns after each, and picks one by its value Q*. Press Play, or move the slider, "
    "and compare what it expected with the return that followed."
)


def rollout_page(recordings: Sequence[Recording]) -> str:
    """Recorded episodes as a page that needs neither a kernel nor a network.

    **Arguments:**

    - `recordings`: one or two recordings, A and B.

    **Returns:**

    The HTML; a decision with its picture takes some 5 kB.

    **Raises:**

    UserError for another number of recordings.
    """
    sides = [_side(name, recording) for name, recording in named(recordings).items()]
    return page("rollout", f"EVOR rollout: {recordings[0].task.name}", _INTRO, {"sides": sides})


def _side(name: str, recording: Recording) -> dict[str, Any]:
    inference, returns = recording.episode.inference, recording.return_to_go
    picked = np.take_along_axis(recording.weights, recording.index[:, None], axis=1)
    arrays = {
        "path": recording.path[:, :2],
        "ends": candidate_ends(recording),
        "probability": picked,
        "best": recording.value.max(axis=1),
        "atoms": recording.atoms,
        "weights": recording.distribution_weights,
        "value": recording.picked_value,
        "mean": recording.mean,
        "low": returns.low,
        "high": returns.high,
    }
    return {
        "name": name,
        "settings": f"N_π {inference.num_candidates}, τ_R {inference.tau_r:.3g}, τ_Q {inference.tau_q:.3g}",
        "outcome": outcome(name, recording),
        "count": len(recording.step),
        "step": recording.step.tolist(),
        "num": recording.candidates.shape[1],
        "numAtoms": recording.atoms.shape[1],
        "index": recording.index.tolist(),
        "goals": recording.goals.tolist(),
        "map": _map(recording),
        "frames": None if recording.frames is None else [_address(frame) for frame in recording.frames],
        **{key: as_bytes(array, key) for key, array in arrays.items()},
    }


def _map(recording: Recording) -> dict[str, Any]:
    """What the path is drawn on: the maze, the table from above, or the plane in which an own task's states differ."""
    place = {"isMap": True, **walls(recording.layout)}
    if recording.layout is not None:
        return place | {"caption": "Path and candidates", "labels": ["x (m)", "y (m)"], "extent": place["range"]}
    if recording.task.family:
        return place | {"caption": "Gripper from above", "labels": FROM_ABOVE, "extent": WORKSPACE[0, 1]}
    low, high = recording.path[:, :2].min(axis=0), recording.path[:, :2].max(axis=0)
    margin = 0.05 * np.maximum(high - low, 1e-6)
    return place | {
        "caption": "Path of the states",
        "labels": ["first principal component of the states", "second principal component"],
        "isMap": False,
        "extent": [*(low - margin).tolist(), *(high + margin).tolist()],
    }


def _address(frame: UInt8[np.ndarray, "height width 3"]) -> str:
    """A picture as an address that holds it."""
    held = io.BytesIO()
    Image.fromarray(frame).save(held, format="WEBP", quality=_QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(held.getvalue()).decode()}"
