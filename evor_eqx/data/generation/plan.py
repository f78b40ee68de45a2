"""The arm's noisy plan, as OGBench's `PlanOracle.compute_plan` makes it, for all times at once.

OGBench interpolates step by step, which takes a twentieth of the collection's time. A test compares the two.
"""

from typing import Any

import numpy as np
import scipy  # its parts are imported where they are first used

_NOISE_SCALE = np.array([0.05, 0.05, 0.05, 0.3, 1.0])  # the action's range: metres, metres, metres, radians, opening


def compute_plan(oracle: Any, times: list[float], poses: list[Any], grasps: list[float]) -> np.ndarray:
    """Rows of (x, y, z, yaw, gripper opening), one per environment step from 0 to the last of `times` (seconds).

    Positions and openings are linear between keyframes; all keyframes are rotations about z, so the geodesic between
    two of them is linear in yaw, the short way round. The noise is drawn from NumPy's global generator.
    """
    grid = _grid(oracle._env_dt, oracle._t_max)
    xyz = np.array([pose.translation() for pose in poses])
    yaw = np.unwrap([pose.rotation().compute_yaw_radians() for pose in poses])
    columns = [*xyz.T, yaw, np.asarray(grasps, float)]
    plan = np.stack([np.interp(grid, times, column) for column in columns], axis=1)
    plan[:, 3] = np.pi - (np.pi - plan[:, 3]) % (2 * np.pi)  # in (-pi, pi]
    noise = np.random.normal(0, 1, plan.shape) * _NOISE_SCALE * oracle._noise  # noqa: NPY002  (as the other controllers)
    return plan + scipy.ndimage.gaussian_filter1d(noise, axis=0, sigma=oracle._noise_smoothing)


def _grid(step: float, end: float) -> np.ndarray:
    """0, step, 2 step, ... below `end`, summed one by one as OGBench does."""
    grid = np.cumsum(np.r_[0.0, np.full(int(end / step) + 1, step)])
    return grid[grid < end]
