"""Progress bars: in terminals and in JupyterLab, quiet in headless figures, CI and pipes; or a listener's."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from tqdm.auto import tqdm

Listener = Callable[["Told"], object]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


class Told:
    """A bar that is not drawn: a listener is told of each step instead, and ends the work if it raises."""

    def __init__(self, total: int | float | None, description: str, unit: str, done: int | float, listener: Listener):
        self.total, self.description, self.unit, self.n, self._listener = total, description, unit, done, listener
        listener(self)

    def update(self, n: int | float = 1) -> None:
        """`n` more units are done."""
        self.n += n
        self._listener(self)

    def set_description(self, description: str) -> None:
        """Say from the next step on what is being done."""
        self.description = description

    def reset(self) -> None:
        """Begin anew."""
        self.n = 0

    def close(self) -> None:
        """Nothing to put away."""

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, *error: object) -> None:
        pass


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell the listener of all progress of this thread, until the block is left, instead of drawing bars."""
    token = _listener.set(listener)
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
    if listener := _listener.get():
        return Told(total, description, unit, done, listener)
    options = {"unit": unit, "unit_scale": True, "disable": quiet or is_quiet(), "dynamic_ncols": True}
    return tqdm(total=total, initial=done, desc=description, **options)


def note(text: str) -> None:
    """One line beside the bars, if somebody watches."""
    if not is_quiet():
        tqdm.write(text, file=sys.stderr)
