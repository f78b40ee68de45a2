"""Pictures of a training: curves against updates, and return distributions at a few states.

Axes are drawn once, and the artists are given new data. The live view and the figure for print draw the same panels.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evor_eqx import plotting
from evor_eqx.data.censoring import CensoredReturns, cdf_band
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.evaluation.held_out import Probes
from evor_eqx.pipeline import loading
from evor_eqx.runs.run import Run
from evor_eqx.widgets.drawing import house_style

_NO_STEPS, _NOTHING = np.empty(0, int), np.empty(0)
_MARGIN = 0.25  # of the range, beyond the data: the more, the more rarely the axes are drawn again
_PLACES = ("early", "middle", "late")


class Curves:
    """Columns of a run's metrics against updates."""

    def __init__(self, ax: Axes, names: Sequence[str]):
        """On axes where each of the columns `names` has its line already, in that order, still empty."""
        self.ax, self._lines = ax, dict(zip(names, ax.lines, strict=True))
        self._low, self._high = np.inf, -np.inf
        ax.set_xlim(0, 1)

    @property
    def moving(self) -> list[Artist]:
        """What changes from update to update."""
        return list(self._lines.values())

    def expect(self, num_updates: int) -> None:
        """Make room for this many updates."""
        self.ax.set_xlim(0, num_updates)

    def show(self, columns: dict[str, np.ndarray]) -> bool:
        """Draw the columns of `Run.metrics`; returns True if the axes had to grow for them."""
        for name, line in self._lines.items():
            values = columns.get(name, _NOTHING)
            line.set_data(columns.get("step", _NOTHING)[: len(values)], values)
        drawn = np.concatenate([columns.get(name, _NOTHING) for name in self._lines])
        if not len(drawn) or (self._low <= drawn.min() and drawn.max() <= self._high):
            return False
        margin = _MARGIN * (np.ptp(drawn) or 1.0)
        self._low, self._high = min(self._low, drawn.min() - margin), max(self._high, drawn.max() + margin)
        self.ax.set_ylim(max(self._low, 0.0) if drawn.min() >= 0 else self._low, self._high)
        return True


class DistributionPanel:
    """The distributions of a critic at three held-out states, beside what was recorded there.

    Of recorded returns that were cut off only bounds are known, so their distribution function is a band.
    """

    def __init__(self, axes: Iterable[Axes]):
        self._axes = list(axes)
        for ax, place in zip(self._axes, _PLACES, strict=True):
            ax.plot([], [], **plotting.TRUTH)
            plotting.cdf(ax, _NOTHING, _NOTHING, label="critic", color="#0072B2")
            ax.set_title(f"{place} in an episode")
        self._bands = [ax.fill([], [], **plotting.CENSORED)[0] for ax in self._axes]
        for ax in self._axes[1:]:
            ax.set(ylabel="")

    @property
    def moving(self) -> list[Artist]:
        """What changes from update to update."""
        return [ax.lines[1] for ax in self._axes]

    def expect(self, probes: Probes) -> None:
        """Draw what was recorded at the probes; the axes show all known returns and half as much on each side."""
        low, high = probes.limits
        margin = 0.5 * ((high - low) or 1.0)
        for ax, band, returns in zip(self._axes, self._bands, probes.recorded, strict=True):
            corners, edges = cdf_band(returns)
            ax.lines[0].set_data(*edges.T)
            band.set_xy(corners)
            ax.set_xlim(low - margin, high + margin)
            self._name(ax, band, returns)

    def _name(self, ax: Axes, band: Artist, returns: CensoredReturns) -> None:
        """The legend: how many of the recorded returns are complete."""
        named: dict[str, Artist] = {f"recorded near it:\n{returns.text}": ax.lines[0], "critic": ax.lines[1]}
        if returns.num_cut:
            named[plotting.CUT] = band
        ax.legend(list(named.values()), list(named), loc="lower right", fontsize=7)

    def show(self, distributions: ReturnDistribution) -> None:
        """Draw the distributions at the three probes."""
        for line, atoms, weights in zip(
            self.moving, np.asarray(distributions.atoms), np.asarray(distributions.weights), strict=True
        ):
            line.set_data(*plotting.cdf_corners(atoms, weights))  # type: ignore[attr-defined]


def loss_curves(ax: Axes) -> Curves:
    """Training and held-out loss."""
    plotting.training_curve(ax, _NO_STEPS, _NOTHING, _NOTHING).set_ylabel("loss")
    return Curves(ax, ("loss", "val_loss"))


def held_out_curves(ax: Axes) -> Curves:
    """A critic's distance to held-out returns."""
    names = "held_out_w1", "held_out_crps", "held_out_unknown"
    return Curves(plotting.held_out_curve(ax, _NO_STEPS, _NOTHING, _NOTHING, _NOTHING), names)


def training_figure(run: Run, probes: Probes | None = None) -> Figure:
    """Draw the live view's panels for a finished run on one figure.

    **Arguments:**

    - `run`: the run of a base policy or a critic.
    - `probes`: the states at which the critic's return distributions are drawn. Without them (a base policy, critics of
      several tasks) the figure shows the loss alone.
    """
    with house_style():
        figure = plotting.PageFigure(figsize=(10, 7) if probes else (5, 3.5), layout="constrained")
        if probes is None:
            curves = [loss_curves(figure.subplots())]
        else:
            axes = figure.subplot_mosaic("AAABBB;CCDDEE")
            curves = [loss_curves(axes["A"]), held_out_curves(axes["B"])]
            distributions = DistributionPanel([axes[place] for place in "CDE"])
            distributions.expect(probes)
            distributions.show(probes.distributions(loading.load_critic(run).model))
        columns = run.metrics()
        for each in curves:
            each.expect(int(columns["step"][-1]))
            each.show(columns)
    return figure
