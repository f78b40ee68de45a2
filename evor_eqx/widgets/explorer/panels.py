"""The explorer's four pictures. Each sets up its axes once, shows a state, and follows the inference settings.

`show_state` changes what belongs to a state: limits, recorded returns. A new panel `is_stale`, and so is a panel after
`show_state`, until its whole canvas is redrawn. `show_reading` only moves the artists in `moving`. Best, median and
worst candidate and the data's own action have the same marker, line style and colour in all pictures.
"""

from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, MaxNLocator

from evor_eqx import plotting
from evor_eqx.envs.ogbench import MazeLayout
from evor_eqx.widgets.explorer.decision import TAU_GRID, Look, Reading, ranked
from evor_eqx.widgets.explorer.planes import Plane


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


class CandidatesPanel:
    """The candidates in a plane. The larger a dot, the likelier it is picked; the brighter, the higher its Q*."""

    def __init__(self, ax: Axes, plane: Plane, layout: MazeLayout | None):
        self.ax, self.layout = ax, layout
        if layout is not None:
            plotting.maze(ax, layout)
        self.ways = LineCollection([], colors="0.8", linewidths=0.8, zorder=2)
        ax.add_collection(self.ways)
        self.dots = ax.scatter([], [], c=[], zorder=3, cmap="viridis", edgecolors="0.3", linewidths=0.5)
        self.marks = _marks(ax, size=9.0)
        (self.pick,) = ax.plot([], [], "o", mfc="none", mec="black", mew=1.6, ms=15, zorder=5)
        ax.set_title(plane.title)
        ax.set(xlabel=plane.labels[0], ylabel=plane.labels[1])
        for axis in (ax.xaxis, ax.yaxis):  # few labels of one width, so that the axes stay where they are
            axis.set_major_locator(MaxNLocator(4))
            axis.set_major_formatter(FormatStrFormatter("%6.2f"))
        _figure(ax).legend(handles=_key(), loc="outside right upper", fontsize=8, title="in all pictures")
        self.is_stale = True
        self.moving: list[Artist] = [self.ways, self.dots, *self.marks.values(), self.pick]

    def show_state(self, origin: Float[np.ndarray, " 2"], ends: Float[np.ndarray, "all 2"]) -> None:
        """Place the candidates, which start at `origin` and end at `ends`."""
        self.origin, self.ends, self.is_stale = origin, ends, True
        points = np.concatenate([origin[None], ends])
        middle, reach = (points.max(axis=0) + points.min(axis=0)) / 2, 0.6 * max(np.ptp(points, axis=0).max(), 1e-3)
        (left, bottom), (right, top) = middle - reach, middle + reach
        self.ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")

    def show_reading(self, data: PanelData) -> None:
        """Colour, size and mark the first N_pi candidates."""
        n, reading = data.num_candidates, data.reading
        ends, weights, value = self.ends[:n], np.asarray(reading.weights)[:n], np.asarray(reading.value)[:n]
        self.ways.set_segments([(self.origin, end) for end in ends])
        self.dots.set_offsets(ends)
        self.dots.set_sizes(20 + 400 * weights)
        self.dots.set_array(value)
        self.dots.set_clim(value.min(), max(value.max(), value.min() + 1e-6))
        _move(self.marks, data, lambda row: self.ends[row])
        self.pick.set_data(*self.ends[[int(reading.index)]].T)


class DistributionsPanel:
    """The return distributions of best, median and worst candidate, beside recorded returns and fresh rollouts."""

    def __init__(self, ax: Axes):
        self.ax, self.is_stale = ax, True
        self.lines = {
            name: ax.step([], [], where="post", color=role.color, linestyle=role.linestyle)[0]
            for name, role in ROLES.items()
        }
        self.recorded = ax.step([], [], where="post", **plotting.TRUTH)[0]
        self.fresh = ax.step([], [], where="post", color="0.45", linestyle=":")[0]
        ax.set_title("Distributions of the reward-to-go")
        ax.set(xlabel="reward-to-go (return)", ylabel="probability of at most this", ylim=(-0.02, 1.02))
        ax.xaxis.set_major_locator(MaxNLocator(5))  # long numbers must not run into each other
        self.moving: list[Artist] = list(self.lines.values())

    def show_state(self, look: Look, recorded: Float[np.ndarray, " n"], fresh: Float[np.ndarray, " m"]) -> None:
        """Draw the returns recorded near the state, and those of rollouts from it (either may be empty)."""
        self.is_stale = True
        atoms = np.asarray(look.distributions.atoms[-1])
        everything = np.concatenate([atoms.ravel(), recorded, fresh])
        low, high = everything.min(), everything.max()
        margin = 0.05 * max(high - low, 1.0)
        self.ax.set_xlim(low - margin, high + margin)
        known = {"recorded nearby": (self.recorded, recorded), "fresh rollouts": (self.fresh, fresh)}
        for line, returns in known.values():
            line.set_data(*plotting.cdf_corners(returns, np.full(len(returns), 1 / max(len(returns), 1))))
        drawn = {name: line for name, (line, returns) in known.items() if len(returns)}
        self.ax.legend(drawn.values(), drawn.keys(), loc="lower right", fontsize=8, frameon=False)

    def show_reading(self, data: PanelData) -> None:
        """Draw the distributions with N atoms."""
        distribution, roles = data.look.distributions, data.roles
        for name, line in self.lines.items():
            atoms, weights = (
                np.asarray(array)[data.count_index, roles[name]] if name in roles else np.empty(0)
                for array in (distribution.atoms, distribution.weights)
            )
            line.set_data(*plotting.cdf_corners(atoms[weights > 0], weights[weights > 0]))


class ValuePanel:
    """Q* of all candidates against tau_R, between its limits: the largest atom and the mean."""

    def __init__(self, ax: Axes):
        self.ax = ax
        self.curves = LineCollection([], colors="0.8", linewidths=0.7)
        ax.add_collection(self.curves)
        self.lines = {
            name: ax.plot([], [], color=role.color, linestyle=role.linestyle)[0] for name, role in ROLES.items()
        }
        self.limits = {
            name: ax.plot([], [], role.marker, color=role.color, ms=7, clip_on=False)[0] for name, role in ROLES.items()
        }
        (self.now,) = ax.plot([], [], color="black", linewidth=1)
        self.ends = TAU_GRID[0] / 2.5, TAU_GRID[-1] * 2.5
        ax.set_xscale("log")
        ticks = (self.ends[0], 0.1, 1, 10, 100, self.ends[1])
        ax.set_xticks(ticks, ["max", "0.1", "1", "10", "100", "mean"])
        ax.minorticks_off()
        ax.set_title("$Q^*$ between maximum and mean")
        ax.set(xlabel="value temperature $\\tau_R$ (return)", ylabel="$Q^*$ (return)", xlim=self.ends)
        self.is_stale = True
        self.moving: list[Artist] = [self.curves, *self.lines.values(), *self.limits.values(), self.now]

    def show_state(self, look: Look) -> None:
        """Choose limits that hold for all inference settings."""
        self.is_stale = True
        atoms = np.asarray(look.distributions.atoms[-1])
        low, high = float(atoms.min()), float(atoms.max())
        margin = 0.05 * max(high - low, 1.0)
        self.ax.set_ylim(low - margin, high + margin)

    def show_reading(self, data: PanelData) -> None:
        """Draw the curves of the first N_pi candidates, and where tau_R stands."""
        curves, roles = np.asarray(data.reading.curves), data.roles
        paths = np.stack(np.broadcast_arrays(TAU_GRID[:, None], curves[:, : data.num_candidates]), axis=-1)
        self.curves.set_segments(list(paths.swapaxes(0, 1)))
        for name in ROLES:
            row = roles.get(name)
            self.lines[name].set_data(([], []) if row is None else (TAU_GRID, curves[:, row]))
            limits = [] if row is None else [float(data.reading.highest[row]), float(data.reading.lowest[row])]
            self.limits[name].set_data(self.ends if limits else [], limits)
        self.now.set_data([np.clip(data.tau_r, *self.ends)] * 2, self.ax.get_ylim())


class SelectionPanel:
    """The probability of each candidate, best first, beside the base policy's 1 / N_pi."""

    FLOOR = 1e-4  # of the logarithmic axis; smaller probabilities are drawn here

    def __init__(self, ax: Axes):
        self.ax = ax
        (self.stems,) = ax.plot([], [], "o", color="0.6", ms=4)
        self.marks = _marks(ax, size=8.0)
        (self.base,) = ax.plot([], [], label="base policy, $1/N_\\pi$", **plotting.TRUTH)
        self.text = ax.text(0.98, 0.93, "", transform=ax.transAxes, ha="right", fontsize=9)
        ax.set(xlim=(0.7, 90), ylim=(self.FLOOR / 8, 1.5), xscale="log", yscale="log")
        ax.set_xticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
        ax.minorticks_off()
        ax.set_title("Which is picked")
        ax.set(xlabel="rank by $Q^*$ (1: best)", ylabel="selection probability")
        ax.legend(handles=[self.base], loc="lower left", fontsize=8)
        self.is_stale = True
        self.moving: list[Artist] = [self.stems, self.base, *self.marks.values(), self.text]

    def show_reading(self, data: PanelData) -> None:
        """Draw the selection among the first N_pi candidates."""
        order = ranked(data.reading, data.num_candidates)
        weights = np.maximum(np.asarray(data.reading.weights)[order], self.FLOOR)
        ranks = np.arange(1, len(order) + 1)
        self.stems.set_data(ranks, weights)
        place = {int(row): (rank, weight) for row, rank, weight in zip(order, ranks, weights, strict=True)}
        _move(self.marks, data, lambda row: place.get(row, (np.nan, np.nan)))
        self.base.set_data([0.7, 90], [1 / data.num_candidates] * 2)
        self.text.set_text(f"effective {data.reading.num_effective:.1f}   KL {abs(data.reading.kl):.2f} nats")


def _marks(ax: Axes, size: float) -> dict[str, Any]:
    """One marker for each role, not yet placed."""
    return {
        name: ax.plot([], [], role.marker, mfc=role.color, mec="white", ms=size, zorder=4)[0]
        for name, role in ROLES.items()
    }


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


def _move(marks: dict[str, Any], data: PanelData, place) -> None:
    roles = data.roles
    for name, mark in marks.items():
        mark.set_data(*([value] for value in place(roles[name])) if name in roles else ([], []))
