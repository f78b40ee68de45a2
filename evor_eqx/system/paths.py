"""Where things live: one home folder with `data/`, `runs/`, `agents/`, `figures/`, `course/`; the package's notebooks.

The home is `$EVOR_HOME` if set; in a checkout it is the checkout; elsewhere the working folder.
"""

import os
from pathlib import Path

from evor_eqx.errors import UserError

_PACKAGE = Path(__file__).resolve().parent.parent


def checkout() -> Path | None:
    """The checkout that this package is imported from, or None for an installed package."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def home() -> Path:
    """The folder that holds data, runs and figures."""
    if os.environ.get("EVOR_HOME"):
        return Path(os.environ["EVOR_HOME"]).expanduser().resolve()
    return checkout() or Path.cwd()


def data_dir() -> Path:
    """Datasets that were generated, or downloaded by `evor data --download`."""
    return home() / "data"


def runs_dir() -> Path:
    """Run folders: configuration, manifest, metrics, checkpoints and results."""
    return home() / "runs"


def agents_dir() -> Path:
    """Packed agents, one's own and others'."""
    return home() / "agents"


def figures_dir() -> Path:
    """Pictures with their JSON sidecars."""
    return home() / "figures"


def course_dir() -> Path:
    """The course as web pages."""
    return home() / "course"


def notebooks_dir() -> Path:
    """The project's notebooks: those of the checkout, else the copies inside the installed package."""
    root = checkout()
    folder = root / "notebooks" if root else _PACKAGE / "notebooks"
    if not folder.is_dir():
        raise UserError(f"no notebooks at {folder}: reinstall evor_eqx, or run from a checkout of the project")
    return folder


def style_file() -> Path:
    """The one matplotlib style of all figures (package data)."""
    return _PACKAGE / "evor.mplstyle"


def ogbench_dir() -> Path:
    """OGBench's own dataset folder, where published files are looked for."""
    return Path("~/.ogbench/data").expanduser()
