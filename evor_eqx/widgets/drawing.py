"""One lock for drawing, and the package's style.

JupyterLab handles messages in threads of the kernel, and a training draws in its own. matplotlib is not made for that:
its parser of formulas and its settings (`rcParams`, which alone can give a new figure a style) belong to the process.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib import style

from evor_eqx.system import paths

one_at_a_time = threading.RLock()


@contextlib.contextmanager
def house_style(changes: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Give figures and axes that are made inside the package's style, with changes; one thread at a time."""
    with one_at_a_time, style.context([paths.style_file(), dict(changes or {})]):
        yield


def limits(*arrays: np.ndarray) -> tuple[float, float]:
    """Limits of an axis that shows all of these numbers."""
    everything = np.concatenate([array.ravel() for array in arrays])
    low, high = float(everything.min()), float(everything.max())
    margin = 0.05 * max(high - low, 1.0)
    return low - margin, high + margin
