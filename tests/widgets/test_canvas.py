"""The canvas: what is drawn on top of kept pixels equals a full drawing."""

import gc
import io
import weakref

import numpy as np
from PIL import Image

from evor_eqx.widgets.canvas import Canvas


def pixels(canvas):
    return np.asarray(Image.open(io.BytesIO(canvas.image.value)))


def drawn(height, moving=True):
    canvas = Canvas(200, 150, "test")
    ax = canvas.clear()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    (line,) = ax.plot([0.1, 0.9], [0.2, 0.2])  # clear of the axes' own lines
    canvas.redraw([line] if moving else [])
    line.set_ydata([height, height])
    return canvas


def test_a_refresh_shows_what_a_full_drawing_shows():
    moved, whole = drawn(0.7), drawn(0.7, moving=False)
    moved.refresh()
    whole.redraw()
    np.testing.assert_array_equal(pixels(moved), pixels(whole))
    assert not np.array_equal(pixels(moved), pixels(drawn(0.2)))


def test_no_figure_is_kept_when_its_canvas_is_gone():
    canvas = drawn(0.5)
    figure = weakref.ref(canvas.figure)
    canvas.image.close()
    del canvas
    gc.collect()
    assert figure() is None
