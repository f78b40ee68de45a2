"""Recorded episodes as files: some decisions on one figure, or all of them as a GIF."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from evor_eqx.errors import UserError
from evor_eqx.evaluation.recording import Recording
from evor_eqx.plotting import PageFigure
from evor_eqx.system.files import replacing
from evor_eqx.widgets.canvas import Canvas
from evor_eqx.widgets.drawing import house_style
from evor_eqx.widgets.rollouts.panels import COLORS, DistributionPanel, FramePanel, PathPanel, ValuePanel, describe

_NUM_COLORS = 64  # of a GIF's picture


def rollout_figure(recordings: Sequence[Recording]) -> Figure:
    """Draw the first, the middle and the last decision of each recording: the viewer for print.

    Each recording has a row of pictures (or of paths, where there are none) and one of return distributions. At the
    right are the whole path and the values, with the three decisions marked.

    **Arguments:**

    - `recordings`: one or two recordings, A and B.

    **Raises:**

    UserError for another number of recordings.
    """
    by_name = named(recordings)
    with house_style():
        figure = PageFigure(figsize=(12, 5.4 * len(recordings)), layout="constrained")
        rows: Any = figure.subfigures(len(recordings), 1, squeeze=False)
        for (name, recording), part in zip(by_name.items(), rows.flat, strict=True):
            _three_decisions(part, name, recording)
    return figure


def _three_decisions(part, name: str, recording: Recording) -> None:
    color, last = COLORS[name], len(recording.step) - 1
    axes = part.subplots(2, 4, width_ratios=[1, 1, 1, 1.25])
    part.suptitle(f"{name}: {describe(recording)}", fontsize=12, fontweight="bold")
    decisions = [0, last // 2, last]
    for number, (decision, (above, below)) in enumerate(zip(decisions, axes[:, :3].T, strict=True), start=1):
        has_pictures = recording.frames is not None
        panel = FramePanel(above, recording) if has_pictures else PathPanel(above, recording, color)
        panels = [panel, DistributionPanel(below, recording, color)]
        for panel in panels:
            panel.show(decision)
        above.set_title(f"{number}: step {recording.step[decision]}")
    whole, values = PathPanel(axes[0, 3], recording, color), ValuePanel(axes[1, 3], recording, color)
    for panel in (whole, values):
        panel.show(last)
    for number, decision in enumerate(decisions, start=1):
        step = recording.step[decision]
        for ax, spot in ((axes[0, 3], recording.path[step, :2]), (axes[1, 3], (step, values.value[decision]))):
            ax.annotate(str(number), spot, (6, 6), textcoords="offset points", fontweight="bold")


def save_gif(
    recordings: Sequence[Recording],
    path: Path,
    *,
    num_frames: int = 60,
    seconds: float = 6.0,
    max_bytes: int = 2_000_000,
) -> Path:
    """Write recordings side by side as a GIF: pictures (or paths) beside return distributions.

    Both show the same environment step; the shorter one waits at its end.

    **Arguments:**

    - `recordings`: one or two recordings, A and B.
    - `path`: the file to write.
    - `num_frames`: the largest number of decisions, evenly spread.
    - `seconds`: how long the film lasts.
    - `max_bytes`: frames are halved until the file is no larger.

    **Returns:**

    The file's path.

    **Raises:**

    UserError for another number of recordings.
    """
    by_name = named(recordings)
    num_decisions = max(len(recording.step) for recording in recordings)
    decisions = np.unique(np.linspace(0, num_decisions - 1, num_frames).astype(int))
    pixels = _film(by_name, decisions.tolist())
    while len(film := _encode(pixels, seconds)) > max_bytes and len(pixels) > 1:
        pixels = pixels[::2]
    with replacing(path) as temporary:
        temporary.write_bytes(film)
    return path


def _encode(pixels: np.ndarray, seconds: float) -> bytes:
    return imageio.imwrite("<bytes>", pixels, extension=".gif", duration=1000 * seconds / len(pixels), loop=0)


def _film(recordings: dict[str, Recording], decisions: list[int]) -> np.ndarray:
    """[frames, height, width, 3], with few colours."""
    canvas = Canvas(320 * len(recordings), 190, "film")
    small = dict.fromkeys(("font.size", "axes.labelsize"), 6) | dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 5)
    canvas.figure.set_layout_engine("constrained")
    with house_style(small | {"lines.linewidth": 1.2, "lines.markersize": 3}):
        parts: Any = canvas.figure.subfigures(1, len(recordings), squeeze=False)
        panels = []
        for (name, recording), part in zip(recordings.items(), parts.flat, strict=True):
            left, right = part.subplots(1, 2)
            part.suptitle(f"{name}: {describe(recording)}", fontsize=7)
            has_pictures = recording.frames is not None
            seen = FramePanel(left, recording) if has_pictures else PathPanel(left, recording, COLORS[name])
            panels.append((recording, seen, DistributionPanel(right, recording, COLORS[name])))
        canvas.redraw(artist for _, *pair in panels for panel in pair for artist in panel.moving)
    return np.stack([_picture(canvas, panels, decision) for decision in decisions])


def _picture(canvas: Canvas, panels, decision: int) -> np.ndarray:
    for recording, *pair in panels:
        for panel in pair:
            panel.show(min(decision, len(recording.step) - 1))
    canvas.refresh()
    image = Image.fromarray(imageio.imread(canvas.image.value))
    return np.asarray(image.quantize(_NUM_COLORS, dither=Image.Dither.NONE).convert("RGB"))


def named(recordings: Sequence[Recording]) -> dict[str, Recording]:
    """Recordings by their names, A and B. Raises UserError if there is none, or one too many."""
    if not 1 <= len(recordings) <= len(COLORS):
        raise UserError(f"{len(recordings)} recordings: expected one or two, A and B; record an episode first")
    return dict(zip(COLORS, recordings, strict=False))
