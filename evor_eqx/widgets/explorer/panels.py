"""The explorer's pictures for print and for readers without a kernel, by matplotlib.

They show what the page shows, from the same arrays. Best, median and worst candidate and the data's own action have the
same marker, line style and colour in all pictures.
"""

from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from evor_eqx import plotting
from evor_eqx.data.censoring import CensoredReturns, cdf_band
from evor_eqx.envs.ogbench import MazeLayout
from evor_eqx.widgets.drawing import limits
from evor_eqx.widgets.explorer.decision import TAU_GRID, Look, Reading, ranked
from evor_eqx.widgets.explorer.planes import Plane

FLOOR = 1e-4  # smaller probabilities are drawn here


class Role(NamedTuple):
    """How the best, median or worst candidate, or the data's action, is drawn."""

    label: str
    color: str
    linestyle: Any
    marker: str


ROLES = {
    "best": Role("best", "#0072B2", "-", "^"),
    "median": Role("median", "#009E73", (0, (5, 1)), "s"),
    "worst": Role("worst", "#D55E00", "-.", "v"),
    "data": Role("data's action", "#CC79A7", (0, (1, 1)), "D"),
}


class PanelData(NamedTuple):
    """All that a panel may show: the candidates at a state, and their values and weights by the inference settings."""

    look: Look
    reading: Reading
    num_candidates: int
    count_index: int  # N = NUM_RETURNS[count_index]
    tau_r: float
    has_data: bool  # whether the state is a row of the data; if not, the last chunk has no meaning

    @property
    def roles(self) -> dict[str, int]:
        """The rows of best, median and worst candidate and of the data's action, as far as they exist."""
        order = ranked(self.reading, self.num_candidates)
        rows = {"best": int(order[0])}
        if len(order) > 2:
            rows["median"] = int(order[len(order) // 2])
        if len(order) > 1:
            rows["worst"] = int(order[-1])
        return rows | ({"data": -1} if self.has_data else {})

    def distribution(self, row: int) -> tuple[Float[np.ndarray, " atoms"], Float[np.ndarray, " atoms"]]:
        """The atoms of a candidate and their weights, which are 0 for atoms that only fill up."""
        both = self.look.distributions
        return np.asarray(both.atoms)[self.count_index, row], np.asarray(both.weights)[self.count_index, row]


def draw_candidates(
    ax: Axes,
    data: PanelData,
    plane: Plane,
    layout: MazeLayout | None,
    origin: Float[np.ndarray, " 2"],
    ends: Float[np.ndarray, "all 2"],
) -> Axes:
    """The candidates in a plane. The larger a dot, the likelier it is picked; the brighter, the higher its Q*."""
    if layout is not None:
        plotting.maze(ax, layout)
    n, weights, value = data.num_candidates, data.reading.weights, data.reading.value
    ax.add_collection(LineCollection([(origin, end) for end in ends[:n]], colors="0.8", linewidths=0.8, zorder=2))
    looks = {"cmap": "viridis", "edgecolors": "0.3", "linewidths": 0.5, "zorder": 3}
    ax.scatter(*ends[:n].T, s=20 + 400 * weights[:n], c=value[:n], **looks)
    _mark(ax, data, lambda row: ends[row], 9.0)
    ax.plot(*ends[[int(data.reading.index)]].T, "o", mfc="none", mec="black", mew=1.6, ms=15, zorder=5)
    points = np.concatenate([origin[None], ends])
    middle, reach = (points.max(axis=0) + points.min(axis=0)) / 2, 0.6 * max(np.ptp(points, axis=0).max(), 1e-3)
    (left, bottom), (right, top) = middle - reach, middle + reach
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.set(title=plane.title, xlabel=plane.labels[0], ylabel=plane.labels[1])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_major_formatter(FormatStrFormatter("%6.2f"))
    _figure(ax).legend(handles=_key(), loc="outside right upper", fontsize=8, title="in all pictures")
    return ax


def draw_distributions(ax: Axes, data: PanelData, recorded: CensoredReturns, own: CensoredReturns | None) -> Axes:
    """The return distributions of best, median and worst candidate, beside recorded returns.

    Of returns that were cut off only bounds are known, so their distribution function is a band. What followed this
    very state in the data, `own`, stands at the bottom: a mark, or a bar between its bounds.
    """
    for name, row in data.roles.items():
        atoms, weights = data.distribution(row)
        corners = plotting.cdf_corners(atoms[weights > 0], weights[weights > 0])
        ax.step(*corners, where="post", color=ROLES[name].color, linestyle=ROLES[name].linestyle)
    known = [recorded] if own is None else [recorded, own]
    bounds = [end for returns in known for end in (returns.low, returns.high)]
    ax.set_xlim(*limits(np.asarray(data.look.distributions.atoms[-1]), *bounds))
    _draw_truth(ax, recorded, own)
    ax.set(title="Distributions of the reward-to-go", xlabel="reward-to-go (return)", ylim=(-0.02, 1.02))
    ax.set_ylabel("probability of at most this")
    ax.xaxis.set_major_locator(MaxNLocator(5))  # long numbers must not run into each other
    return ax


def _draw_truth(ax: Axes, recorded: CensoredReturns, own: CensoredReturns | None) -> None:
    """What was recorded; the legend says how many of the returns are complete."""
    named: dict[str, Any] = {}
    corners, edges = cdf_band(recorded)
    if recorded.num:
        named[f"recorded nearby: {recorded.text}"] = ax.plot(*edges.T, **plotting.TRUTH)[0]
    if recorded.num_cut:
        named[plotting.CUT] = ax.fill(*corners.T, **plotting.CENSORED)[0]
    if own is not None:
        looks: dict[str, Any] = {"color": ROLES["data"].color, "mec": "white", "ms": 7, "clip_on": False}
        (mark,) = ax.plot([own.low, own.high], [0.0, 0.0], "D-", linewidth=2, **looks)
        named[f"recorded from here: {own.text}"] = mark
    above: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 0.06)}  # of the mark at the bottom
    ax.legend(named.values(), named.keys(), fontsize=7, frameon=False, **above)


def draw_values(ax: Axes, data: PanelData) -> Axes:
    """Q* of all candidates against tau_R, between its limits: the largest atom and the mean."""
    reading, ends = data.reading, (TAU_GRID[0] / 2.5, TAU_GRID[-1] * 2.5)
    ax.plot(TAU_GRID, reading.curves[:, : data.num_candidates], color="0.8", linewidth=0.7)
    for name, row in data.roles.items():
        role = ROLES[name]
        ax.plot(TAU_GRID, reading.curves[:, row], color=role.color, linestyle=role.linestyle)
        extremes = [float(reading.highest[row]), float(reading.lowest[row])]
        ax.plot(ends, extremes, role.marker, color=role.color, ms=7, clip_on=False)
    ax.axvline(float(np.clip(data.tau_r, *ends)), color="black", linewidth=1)
    ax.set_xscale("log")
    ax.set_xticks((ends[0], 0.1, 1, 10, 100, ends[1]), ["max", "0.1", "1", "10", "100", "mean"])
    ax.minorticks_off()
    ax.set_ylim(*limits(np.asarray(data.look.distributions.atoms[-1])))
    ax.set(title="$Q^*$ between maximum and mean", xlim=ends, ylabel="$Q^*$ (return)")
    ax.set_xlabel("value temperature $\\tau_R$ (return)")
    return ax


def draw_selection(ax: Axes, data: PanelData) -> Axes:
    """The probability of each candidate, best first, beside the base policy's 1 / N_pi."""
    order, reading = ranked(data.reading, data.num_candidates), data.reading
    weights = np.maximum(reading.weights[order], FLOOR)
    ranks = np.arange(1, len(order) + 1)
    ax.plot(ranks, weights, "o", color="0.6", ms=4)
    place = {int(row): (rank, weight) for row, rank, weight in zip(order, ranks, weights, strict=True)}
    _mark(ax, data, lambda row: place.get(row, (np.nan, np.nan)), 8.0)
    base = ax.axhline(1 / data.num_candidates, label="base policy, $1/N_\\pi$", **plotting.TRUTH)
    text = f"effective {reading.num_effective:.1f}   KL {abs(reading.kl):.2f} nats"
    ax.text(0.98, 0.93, text, transform=ax.transAxes, ha="right", fontsize=9)
    ax.set(xlim=(0.7, 180), ylim=(FLOOR / 8, 1.5), xscale="log", yscale="log")
    ax.set_xticks([1, 2, 4, 8, 16, 32, 64, 128], ["1", "2", "4", "8", "16", "32", "64", "128"])
    ax.minorticks_off()
    ax.set(title="Which is picked", xlabel="rank by $Q^*$ (1: best)", ylabel="selection probability")
    ax.legend(handles=[base], loc="lower left", fontsize=8)
    return ax


def _mark(ax: Axes, data: PanelData, place: Any, size: float) -> None:
    """One marker for each role."""
    for name, row in data.roles.items():
        x, y = place(row)
        ax.plot([x], [y], ROLES[name].marker, mfc=ROLES[name].color, mec="white", ms=size, zorder=4)


def _figure(ax: Axes) -> Figure:
    return cast(Figure, ax.get_figure(root=True))


def _key() -> list[Line2D]:
    """What colours, lines and markers mean, in all pictures."""
    roles = [
        Line2D([], [], color=role.color, linestyle=role.linestyle, marker=role.marker, mec="white", label=role.label)
        for role in ROLES.values()
    ]
    pick = Line2D([], [], linestyle="", marker="o", mfc="none", mec="black", mew=1.6, ms=9, label="picked")
    dot = Line2D([], [], linestyle="", marker="o", color="0.6", label="candidate:\nbright: high $Q^*$\nlarge: likely")
    return [*roles, pick, dot]
