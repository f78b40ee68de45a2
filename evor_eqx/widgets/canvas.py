"""A matplotlib figure as an image widget that is drawn again in milliseconds: only the artists that move are.

Axes, ticks and labels are drawn once and kept as pixels. A refresh copies them back and draws the animated artists on
top. The result is what a full drawing would show (a test compares the pixels), except that moving artists also cover
the axes' own lines.
"""

import io
from collections.abc import Iterable

import ipywidgets
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from evor_eqx.widgets.drawing import one_at_a_time

SCALE = 1.5  # pixels of the picture for one of the page: sharp on most screens


class Canvas:
    """A figure, and the widget that shows it. The figure is unknown to pyplot, so that none outlives its canvas."""

    def __init__(self, width: int, height: int, name: str):
        """A figure of `width` x `height` pixels of the page; the image gets the class `evor-<name>`."""
        self.figure = Figure(figsize=(width / 100, height / 100), dpi=100 * SCALE)
        self._agg = FigureCanvasAgg(self.figure)
        self._moving: list[Artist] = []
        self._still = None
        self.image = ipywidgets.Image(format="png", layout={"width": f"{width}px", "max_width": "100%"})
        self.image.add_class(f"evor-{name}").add_class("evor-picture")

    def clear(self) -> Axes:
        """Empty the figure; returns new axes that fill it."""
        self.figure.clear()
        self.figure.set_layout_engine("constrained")
        return self.figure.subplots()

    def redraw(self, moving: Iterable[Artist] = ()) -> None:
        """Draw everything; each `refresh` will draw the artists in `moving` anew, in this order."""
        with one_at_a_time:
            self._redraw(moving)

    def _redraw(self, moving: Iterable[Artist]) -> None:
        self._moving = list(moving)
        for artist in self._moving:
            artist.set_animated(True)
        if self.figure.get_constrained_layout():
            self._agg.draw()  # the layout needs to see once what it is to make room for
        self._agg.draw()
        self.figure.set_layout_engine("none")  # the axes stay where the first drawing put them
        self._still = self._agg.copy_from_bbox(self.figure.bbox)
        self.refresh()

    def refresh(self) -> None:
        """Draw the moving artists on the kept pixels, and send the picture to the page. Needs an earlier `redraw`."""
        with one_at_a_time:
            self._agg.restore_region(self._still)
            for artist in self._moving:
                self.figure.draw_artist(artist)
            self.image.value = png(np.asarray(self._agg.buffer_rgba()))


def png(pixels: np.ndarray) -> bytes:
    """RGBA pixels as PNG, compressed for speed, not for size."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
