"""Four pictures of a recorded episode: the simulator's view, the path, the chosen return distribution, the values.

Each sets up its axes for the whole episode once; `show(decision)` then only moves the artists in `moving`. The viewer,
the figure for print and the GIF use the same four panels.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle

from evor_eqx import plotting
from evor_eqx.envs.ants import AntBody
from evor_eqx.evaluation.recording import Recording
from evor_eqx.widgets.drawing import limits
from evor_eqx.widgets.explorer.planes import FROM_ABOVE, WORKSPACE, displacement

COLORS = {"A": "#0072B2", "B": "#D55E00"}
_LONGER = {"pointmaze": 3.0, "antmaze": 10.0}  # candidates in a maze are drawn longer, to be seen


class FramePanel:
    """The simulator's picture of the state in which the decision was made."""

    def __init__(self, ax: Axes, recording: Recording):
        self.frames = recording.frames
        ax.set_axis_off()
        self.moving: list[Artist] = []
        if self.frames is None:
            ax.text(0.5, 0.5, "recorded without\npictures", ha="center", va="center", transform=ax.transAxes)
        else:
            self.image = ax.imshow(self.frames[0], interpolation="nearest")
            self.moving = [self.image]

    def show(self, decision: int) -> None:
        """Change the picture."""
        if self.frames is not None:
            self.image.set_data(self.frames[decision])


class PathPanel:
    """The path on the maze's map, or the gripper's seen from above, and where this decision's candidates lead.

    On a task of your own: the path of the states, in the plane in which they differ most.
    """

    def __init__(self, ax: Axes, recording: Recording, color: str):
        self.recording, self.path = recording, recording.path[:, :2]
        self.ends = candidate_ends(recording)
        if recording.layout is not None:
            plotting.maze(ax, recording.layout)
        elif recording.task.family:
            _table(ax, recording)
        else:
            ax.set(xlabel="first principal component of the states", ylabel="second principal component")
        ax.plot(*self.path.T, color="0.75", linewidth=1)
        self.ways = LineCollection([], colors="0.4", linewidths=0.6, zorder=3)
        ax.add_collection(self.ways)
        (self.so_far,) = ax.plot([], [], color=color, zorder=3)
        (self.choice,) = ax.plot([], [], color="black", linewidth=1.4, zorder=4)
        (self.now,) = ax.plot([], [], "o", color=color, markeredgecolor="white", markersize=8, zorder=5)
        title = "path, candidates, choice" if recording.task.family else "path of the states"
        ax.set_title(title, fontsize="medium", fontweight="normal", loc="center")
        self.moving: list[Artist] = [self.so_far, self.ways, self.choice, self.now]

    def show(self, decision: int) -> None:
        """Go to a decision."""
        step = self.recording.step[decision]
        here, index = self.path[step], self.recording.index[decision]
        self.so_far.set_data(*self.path[: step + 1].T)
        self.now.set_data(*here[:, None])
        ends = here + self.ends[decision]
        self.ways.set_segments([(here, end) for end in ends])
        self.choice.set_data(*np.stack([here, ends[index]]).T)


class DistributionPanel:
    """The return distribution of the chosen candidate, its Q*, and the return that followed.

    A return that the time limit cut off is a band from the least to the most that it can be.
    """

    def __init__(self, ax: Axes, recording: Recording, color: str):
        self.recording = recording
        self.value, self.returns = recording.picked_value, recording.return_to_go
        (self.distribution,) = ax.step([], [], where="post", color=color, label="distribution")
        (self.soft,) = ax.plot([], [], color=color, linestyle=":", label="$Q^*$")
        (self.realised,) = ax.plot([], [], label="realised,\ncomplete", **plotting.TRUTH)
        (self.interval,) = ax.fill([0, 0, 0, 0], [0, 0, 1, 1], label=plotting.CUT, **plotting.CENSORED)
        ax.set(xlim=limits(recording.atoms, self.returns.low, self.returns.high), ylim=(-0.02, 1.02))
        ax.set(xlabel="reward-to-go (return)", ylabel="probability of at most this")
        _legend_above(ax, [self.distribution, self.soft, self.interval if self.returns.num_cut else self.realised])
        self.moving: list[Artist] = [self.interval, self.distribution, self.soft, self.realised]

    def show(self, decision: int) -> None:
        """Go to a decision."""
        distribution = self.recording.atoms[decision], self.recording.distribution_weights[decision]
        self.distribution.set_data(*plotting.cdf_corners(*distribution))
        self.soft.set_data([self.value[decision]] * 2, [0, 1])
        low, high = self.returns.low[decision], self.returns.high[decision]
        self.interval.set_xy([(low, 0), (high, 0), (high, 1), (low, 1)])  # of no width if the return is complete
        self.realised.set_data(([low, low], [0, 1]) if self.returns.is_complete[decision] else ([], []))


class ValuePanel:
    """Q* and mean of what was chosen, and the realised return-to-go or its bounds, along the episode."""

    def __init__(self, ax: Axes, recording: Recording, color: str):
        self.step, self.value, returns = recording.step, recording.picked_value, recording.return_to_go
        (q_star,) = ax.plot(self.step, self.value, color=color, label="$Q^*$")
        (mean,) = ax.plot(self.step, recording.mean, color=color, linewidth=1, linestyle=":", label="mean")
        if returns.num_cut:
            realised = ax.fill_between(self.step, returns.low, returns.high, label=plotting.CUT, **plotting.CENSORED)
        else:
            (realised,) = ax.plot(self.step, returns.low, label="realised,\ncomplete", **plotting.TRUTH)
        (self.dots,) = ax.plot([], [], "o", color=color, markeredgecolor="white", markersize=8, zorder=4)
        self.now = ax.axvline(0, color="0.5", linewidth=1, zorder=1)
        ax.set(xlabel="environment step", ylabel="reward-to-go (return)")
        ax.set_ylim(limits(self.value, recording.mean, returns.low, returns.high))
        _legend_above(ax, [q_star, mean, realised])
        self.moving: list[Artist] = [self.now, self.dots]

    def show(self, decision: int) -> None:
        """Go to a decision."""
        step = self.step[decision]
        self.now.set_xdata([step, step])
        self.dots.set_data([step], [self.value[decision]])


def describe(recording: Recording) -> str:
    """The inference settings of a recording, for titles."""
    inference = recording.episode.inference
    return (
        f"$N_\\pi$ = {inference.num_candidates}, $\\tau_R$ = {inference.tau_r:.3g}, $\\tau_Q$ = {inference.tau_q:.3g}"
    )


def _legend_above(ax: Axes, handles: list[Artist]) -> None:
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3}
    ax.legend(handles=handles, fontsize="small", columnspacing=0.8, handlelength=1.2, **place)


def _table(ax: Axes, recording: Recording) -> None:
    left, bottom, right, top = WORKSPACE[0, 1]
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, facecolor="0.95", edgecolor="0.75", zorder=0))
    ax.plot(*recording.goals.T, "*", color="#D55E00", markersize=14, markeredgecolor="white", zorder=2)
    ax.set(xlim=(left - 0.03, right + 0.03), ylim=(bottom - 0.03, top + 0.03))
    ax.set(xlabel=FROM_ABOVE[0], ylabel=FROM_ABOVE[1], aspect="equal")


def candidate_ends(recording: Recording) -> Float[np.ndarray, "decisions cand 2"]:
    """Where each candidate leads, from the present place; nowhere on an own task, whose actions mean anything."""
    task, (*shape, size) = recording.task, recording.candidates.shape
    if not task.family:
        return np.zeros((*shape, 2))
    chunks = recording.candidates.reshape(-1, size)
    if task.family == "antmaze":
        ends = AntBody(task).ways(np.repeat(recording.obs, shape[1], axis=0), chunks)
    else:
        ends = displacement(task, chunks, recording.act_size)
    return ends.reshape(*shape, 2) * _LONGER.get(task.family, 1.0)
