"""Progress bars: in terminals and in JupyterLab, quiet in headless figures, CI and pipes; or a listener's."""

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
    """A bar of whose steps a listener is told, which ends the work if it raises; `drawn` is tqdm's, or disabled."""

    def __init__(self, total: int | float | None, description: str, unit: str, drawn: Any, listener: Listener):
        self.total, self.description, self.unit, self.n, self._listener = total, description, unit, drawn.n, listener
        self._drawn = drawn
        listener(self)

    def update(self, n: int | float = 1) -> None:
        """`n` more units are done."""
        self.n += n
        self._drawn.update(n)
        self._listener(self)

    def set_description(self, description: str) -> None:
        """Say from the next step on what is being done."""
        self.description = description
        self._drawn.set_description(description)

    def reset(self) -> None:
        """Begin anew."""
        self.n = 0
        self._drawn.reset()

    def close(self) -> None:
        """Leave what is drawn as it is."""
        self._drawn.close()

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@contextlib.contextmanager
def listening(listener: Listener, draw: bool = False) -> Iterator[None]:
    """Tell the listener of all progress of this thread, until the block is left; instead of drawing, unless `draw`."""
    token = _listener.set((listener, draw))
    try:
        yield
    finally:
        _listener.reset(token)


def is_quiet() -> bool:
    """Whether nobody is watching: CI, `EVOR_QUIET` (set for headless notebooks), neither terminal nor live notebook."""
    if os.environ.get("CI") or os.environ.get("EVOR_QUIET"):
        return True
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)


def bar(total: int | float | None, description: str, unit: str, done: int | float = 0, quiet: bool = False) -> Any:
    """A progress bar (tqdm's) over `total` units, `done` of them from before, with the rate and the time left.

    Where somebody is `listening`, a `Told` with the same methods.
    """
    listener, draw = _listener.get() or (None, True)
    options = {"unit": unit, "unit_scale": True, "disable": quiet or not draw or is_quiet(), "dynamic_ncols": True}
    drawn = tqdm(total=total, initial=done, desc=description, **options)
    return drawn if listener is None else Told(total, description, unit, drawn, listener)


def note(text: str) -> None:
    """One line beside the bars, if somebody watches."""
    if not is_quiet():
        tqdm.write(text, file=sys.stderr)


def duration(seconds: int | float) -> str:
    """Two digits at most in each unit: 45 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
