"""Principal components: the plane in which rows differ most."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class PrincipalPlane(NamedTuple):
    """The two directions along which rows vary most. For rows of one number the second one is zero."""

    centre: Float[np.ndarray, " size"]
    axes: Float[np.ndarray, "2 size"]

    def project(self, rows: Float[np.ndarray, "*b size"]) -> Float[np.ndarray, "*b 2"]:
        """Coordinates in the plane."""
        return (np.asarray(rows) - self.centre) @ self.axes.T


def principal_plane(rows: Float[np.ndarray, "num size"]) -> PrincipalPlane:
    """The principal plane of rows. Each axis points to where its largest entry is positive, so that it is unique."""
    centre = rows.mean(axis=0, dtype=np.float64)
    directions = np.linalg.svd(rows - centre, full_matrices=False)[2][:2]
    axes = np.zeros((2, rows.shape[1]))
    axes[: len(directions)] = directions
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    return PrincipalPlane(centre, axes * np.where(signs == 0, 1.0, signs))
