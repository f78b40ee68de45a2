"""Progress bars in terminals and in JupyterLab; nothing is drawn in CI, pipes and headless notebooks.

A listener can be told of all progress, instead or in addition.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from tqdm.auto import tqdm

Listener = Callable[["Told"], object]
_listener: ContextVar[tuple[Listener, bool] | None] = ContextVar("listener", default=None)


class Told:
    """A progress bar that calls a listener at each step. An exception of the listener ends the work.

    **Arguments:**

    - `total`: units in all; None if that is not known.
    - `description`, `unit`: as tqdm's.
    - `drawn`: tqdm's bar, which may be disabled.
    - `listener`: called with this bar.
    """

    def __init__(self, total: int | float | None, description: str, unit: str, drawn: Any, listener: Listener):
        self.total, self.description, self.unit, self.n, self._listener = total, description, unit, drawn.n, listener
        self._drawn = drawn
        listener(self)

    def update(self, n: int | float = 1) -> None:
        """Count `n` more units."""
        self.n += n
        self._drawn.update(n)
        self._listener(self)

    def set_description(self, description: str) -> None:
        """Change the description; the listener sees it at the next step."""
        self.description = description
        self._drawn.set_description(description)

    def reset(self) -> None:
        """Go back to no units."""
        self.n = 0
        self._drawn.reset()

    def close(self) -> None:
        """Close the bar; what is drawn stays."""
        self._drawn.close()

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@contextlib.contextmanager
def listening(listener: Listener, draw: bool = False) -> Iterator[None]:
    """Tell a listener of all progress of this thread inside the block. Bars are drawn only if `draw`."""
    token = _listener.set((listener, draw))
    try:
        yield
    finally:
        _listener.reset(token)


def is_quiet() -> bool:
    """Whether nobody watches: in CI, with `EVOR_QUIET` (headless notebooks), and outside terminals and notebooks."""
    if os.environ.get("CI") or os.environ.get("EVOR_QUIET"):
        return True
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)


def bar(total: int | float | None, description: str, unit: str, done: int | float = 0, quiet: bool = False) -> Any:
    """A progress bar with the rate and the time left.

    **Arguments:**

    - `total`: units in all; None if that is not known.
    - `description`: what is being done.
    - `unit`: what is counted.
    - `done`: units that were done before.
    - `quiet`: whether nothing is drawn in any case.

    **Returns:** tqdm's bar, or a `Told` with the same methods if there is a listener.
    """
    listener, draw = _listener.get() or (None, True)
    options = {"unit": unit, "unit_scale": True, "disable": quiet or not draw or is_quiet(), "dynamic_ncols": True}
    drawn = tqdm(total=total, initial=done, desc=description, **options)
    return drawn if listener is None else Told(total, description, unit, drawn, listener)


def note(text: str) -> None:
    """Print one line above the bars, in logs and CI too; nothing in headless notebooks (`EVOR_QUIET`)."""
    if not os.environ.get("EVOR_QUIET"):
        tqdm.write(text, file=sys.stderr)


def duration(seconds: int | float) -> str:
    """A duration in words: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
