"""Progress bars: in terminals and in JupyterLab, quiet in headless figures, in CI and in pipes."""

import os
import sys

from tqdm.auto import tqdm


def is_quiet() -> bool:
    """Whether nobody is watching: CI, `EVOR_QUIET` (set for headless notebooks), neither terminal nor live notebook."""
    if os.environ.get("CI") or os.environ.get("EVOR_QUIET"):
        return True
    return not (sys.stderr.isatty() or "ipykernel" in sys.modules)


def bar(total: int | None, description: str, unit: str, done: int = 0, quiet: bool = False) -> tqdm:
    """A progress bar over `total` units, `done` of them from before, with the rate and the time left."""
    options = {"unit": unit, "unit_scale": True, "disable": quiet or is_quiet(), "dynamic_ncols": True}
    return tqdm(total=total, initial=done, desc=description, **options)
