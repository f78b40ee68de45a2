"""Plot functions: each takes arrays and an axis, and returns the axis. They read no files and set no global style.

The style is in `evor.mplstyle`. Truth (recorded returns, known distributions) is always a black dashed line. Where
returns were cut off, a grey band shows what they may be. The names, colours and markers of methods come from one table.
"""

import io
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from evor_eqx.envs.ogbench import MazeLayout


class PageFigure(Figure):
    """A figure that a notebook shows as the last value of a cell, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()


class Look(NamedTuple):
    """How a method is drawn."""

    label: str
    color: str
    linestyle: Any
    marker: str


RING: dict[str, Any] = {"s": 480, "facecolors": "none", "linewidths": 2.5}  # what a dot with a value leaves visible
METHODS = {
    "velocity": Look("velocity (the paper's)", "#D55E00", "-.", "s"),
    "bootstrap": Look("bootstrap", "#0072B2", "-", "o"),
    "coupled": Look("coupled", "#009E73", (0, (5, 1)), "^"),
    "dcfm": Look("dcfm", "#E69F00", (0, (3, 1, 1, 1)), "v"),
    "mc": Look("Monte Carlo", "#CC79A7", ":", "D"),
    "scalar": Look("scalar", "#999999", "-", "x"),
    "gaussian": Look("Gaussian", "#999999", "--", "+"),
    "c51": Look("C51", "#882255", "-", "P"),
    "hl_gauss": Look("HL-Gauss", "#882255", ":", "X"),
    "qr_dqn": Look("QR-DQN", "#56B4E9", "-", "<"),
    "iqn": Look("IQN", "#8C510A", "--", ">"),
    "best_of_n": Look("best of N (Q-chunking)", "#332288", "-", "*"),
    "expectile": Look("expectile (IFQL)", "#332288", "--", "p"),
}
SUITE_METHODS = METHODS | {  # those of METHODS differ from EVOR in the critic alone
    "base": Look("base policy", "#999999", ":", "."),
    "evor": Look("EVOR", "#009E73", "-", "o"),
    "evor_best4": Look("EVOR, best of 4 draws", "#004D40", "--", "^"),
    "c51_best4": Look("C51, best of 4 draws", "#882255", (0, (5, 1)), "d"),
    "qc1": Look("QC-1", "#88CCEE", "-", "s"),
    "qc5": Look("QC-5", "#332288", "-", "*"),
    "ifql": Look("IFQL", "#CC79A7", "--", "p"),
}
TRUTH: dict[str, Any] = {"color": "black", "linestyle": "--"}
CENSORED: dict[str, Any] = {"color": "0.45", "alpha": 0.35, "linewidth": 0}  # what a return that was cut off may be
CUT = "cut off: at least\nto at most"


def training_curve(
    ax: Axes, steps: Int[np.ndarray, " rows"], loss: Float[np.ndarray, " rows"], val_loss: Float[np.ndarray, " rows"]
) -> Axes:
    """Plot the training loss of each block (points) and the held-out loss of the moving average (line)."""
    ax.plot(steps, loss, ".", color="0.6", markersize=3, label="training batch")
    ax.plot(steps, val_loss, color="#0072B2", label="held-out batch")
    ax.set(xlabel="updates", ylabel="flow-matching loss")
    ax.legend()
    return ax


def held_out_curve(
    ax: Axes,
    steps: Int[np.ndarray, " rows"],
    w1: Float[np.ndarray, " rows"],
    crps: Float[np.ndarray, " rows"],
    unknown: Float[np.ndarray, " rows"],
) -> Axes:
    """Plot distances to held-out returns against updates, and up to what they are known (in units of return)."""
    ax.plot(steps, w1, color="#009E73", label="W₁ of all distributions together")
    ax.plot(steps, crps, color="#E69F00", linestyle=(0, (5, 1)), label="CRPS, distribution by distribution")
    ax.plot(steps, unknown, color="0.45", linestyle=":", label="both are known up to this: returns were cut off")
    ax.set(xlabel="updates", ylabel="distance to held-out returns")
    ax.legend()
    return ax


def learning_curve(
    ax: Axes,
    x: Float[np.ndarray, " rows"] | Int[np.ndarray, " rows"],
    values: Float[np.ndarray, "rows seeds"],
    label: str,
    **style,
) -> Axes:
    """Plot the median over seeds as a line, and their range as a band."""
    (line,) = ax.plot(x, np.median(values, axis=1), label=label, **style)
    ax.fill_between(x, values.min(axis=1), values.max(axis=1), color=line.get_color(), alpha=0.15, linewidth=0)
    return ax


def maze(ax: Axes, layout: MazeLayout) -> Axes:
    """Draw the walls, the goal and the teleports of a maze, in metres."""
    walls, unit, offset = layout.walls, layout.unit, layout.offset
    cells = [
        Rectangle((j * unit - offset - unit / 2, i * unit - offset - unit / 2), unit, unit)
        for i, j in zip(*np.nonzero(walls), strict=True)
    ]
    ax.add_collection(PatchCollection(cells, facecolor="0.75", edgecolor="0.75", zorder=0))
    half, (rows, columns) = unit / 2 + offset, walls.shape
    ax.set(xlim=(-half, columns * unit - half), ylim=(-half, rows * unit - half), xlabel="x (m)", ylabel="y (m)")
    ax.set_aspect("equal")
    ax.grid(False)
    ax.plot(*layout.goal, "*", color="#D55E00", markersize=16, markeredgecolor="white", zorder=5, label="goal")
    for places, color, label in ((layout.entrances, "#CC79A7", "entrance"), (layout.exits, "#009E73", "exit")):
        ax.scatter(*places.T, edgecolors=color, label=label if len(places) else None, **RING)
    return ax


def maze_values(
    ax: Axes,
    layout: MazeLayout,
    places: Float[np.ndarray, "places 2"],
    values: Float[np.ndarray, " places"],
    label: str,
    limit: int | float,
) -> Axes:
    """Draw a maze with a value at each place, as text and as colour: -limit is blue, 0 white, limit red."""
    maze(ax, layout)
    ax.scatter(*layout.goal, edgecolors="#D55E00", **RING)  # the goal's star lies below a dot
    dots = ax.scatter(*places.T, c=values, s=230, cmap="RdBu_r", vmin=-limit, vmax=limit, edgecolors="0.4", zorder=6)
    ax.figure.colorbar(dots, ax=ax, label=label)
    for place, value in zip(places, values, strict=True):
        color = "white" if abs(value) > 0.6 * limit else "black"
        ax.annotate(f"{value:.0f}", place, ha="center", va="center", fontsize=7, color=color, zorder=7)
    return ax


def histogram_pair(
    ax: Axes, data: Float[np.ndarray, " n"], model: Float[np.ndarray, " m"], name: str, bins: int = 41
) -> Axes:
    """Plot the densities of data (black, dashed) and model (filled) in the same bins over [-1, 1]."""
    edges = np.linspace(-1, 1, bins + 1).tolist()
    ax.hist(model, edges, density=True, color="#56B4E9", alpha=0.8, label="base policy")
    ax.hist(data, edges, density=True, histtype="step", linewidth=1.4, label="data", **TRUTH)
    ax.set(xlabel=name, ylabel="density")
    return ax


def cdf(ax: Axes, atoms: Float[np.ndarray, " atoms"], weights: Float[np.ndarray, " atoms"], **style) -> Axes:
    """Plot the distribution function of weighted atoms."""
    ax.step(*cdf_corners(atoms, weights), where="post", **style)
    ax.set(xlabel="reward-to-go (return)", ylabel="probability of at most this", ylim=(-0.02, 1.02))
    return ax


def cdf_corners(
    atoms: Float[np.ndarray, " atoms"], weights: Float[np.ndarray, " atoms"]
) -> tuple[Float[np.ndarray, " corners"], Float[np.ndarray, " corners"]]:
    """The corners of a distribution function, as x and y of a `post` step line. Empty if there are no atoms."""
    order = np.argsort(atoms)
    return np.r_[atoms[order][:1], atoms[order]], np.r_[np.zeros(min(len(atoms), 1)), np.cumsum(weights[order])]


def calibration(ax: Axes, predicted: Float[np.ndarray, " rows"], ends: Float[np.ndarray, "2 rows"]) -> Axes:
    """Plot the least and the most that mean returns can be, in bins of the predicted mean; an episode's rows depend."""
    ax.plot(predicted, ends[1], ".", color="0.8", markersize=2, rasterized=True, label="held-out rows (at most)")
    (x, low), (_, high) = (binned_means(predicted, end, 10) for end in ends)
    ax.errorbar(x, (low + high) / 2, (high - low) / 2, fmt="o", color="#0072B2", capsize=3, label="mean of a bin")
    corners = [min(predicted.min(), ends.min()), max(predicted.max(), ends.max())]
    ax.plot(corners, corners, label="perfect", **TRUTH)
    ax.set(xlabel="predicted mean return", ylabel="recorded return")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, fontsize="small")  # below points
    return ax


def binned_means(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], num_bins: int, min_count: int = 10
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """The means of x and of y in bins of equal width of x. Bins with fewer than `min_count` points are left out."""
    index = np.digitize(x, np.linspace(x.min(), x.max(), num_bins + 1)[1:-1])
    groups = [group for bin in range(num_bins) if len(group := np.flatnonzero(index == bin)) >= min_count]
    return np.array([x[group].mean() for group in groups]), np.array([y[group].mean() for group in groups])


def success_curve(
    ax: Axes,
    x: Float[np.ndarray, " points"],
    rates: Float[np.ndarray, " points"],
    intervals: Float[np.ndarray, "points 2"],
    label: str,
    ticks: Float[np.ndarray, " ticks"] | None = None,
    **style,
) -> Axes:
    """Plot the success rate in percent with its interval against a setting, on a logarithmic axis (base 2).

    **Arguments:**

    - `x`: values of the setting. 0 and infinity are drawn at the ends of the axis.
    - `rates`: success rates, 0 to 1.
    - `intervals`: the lower and the upper ends of their intervals.
    - `ticks`: the values of all curves, if several share the axis.
    """
    ticks = x if ticks is None else ticks
    places = dict(zip(ticks.tolist(), on_log_axis(ticks), strict=True))
    at, errors = [places[value] for value in x.tolist()], 100 * np.abs(intervals - rates[:, None]).T
    ax.errorbar(at, 100 * rates, errors, capsize=3, label=label, **style)
    ax.set_xscale("log", base=2)
    ax.set_xticks([*places.values()], [f"{value:g}".replace("inf", "∞") for value in places])
    ax.set(ylabel="success (%)", ylim=(-3, 103))
    return ax


def on_log_axis(x: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """Positions of values on a logarithmic axis. 0 and infinity are a factor of four beyond the other values."""
    inner = x[(x > 0) & np.isfinite(x)]
    return np.select([x == 0, np.isinf(x)], [inner.min() / 4, 4 * inner.max()], x)


def candidates(
    ax: Axes,
    origin: Float[np.ndarray, " 2"],
    acts: Float[np.ndarray, "cand 2"],
    value: Float[np.ndarray, " cand"],
    weights: Float[np.ndarray, " cand"],
    length: float = 3.0,
):
    """Draw candidate actions as arrows from `origin`; returns the arrows.

    The colour shows Q*. The width of the outline shows the selection weight.
    """
    order = np.argsort(weights)
    starts, arrows = np.repeat(origin[:, None], len(acts), axis=1), length * acts[order].T
    return ax.quiver(
        *(*starts, *arrows, value[order]),
        cmap="viridis",
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.01,
        linewidths=np.clip(0.3 * len(weights) * weights[order], 0, 2),  # 0.3 for equal weights
        edgecolors="#D55E00",
        zorder=4,
    )
