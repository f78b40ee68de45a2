"""Where things live: the home folder with `data/`, `runs/`, `agents/`, `figures/` and `course/`; the notebooks.

The home folder is `$EVOR_HOME` if that is set. Otherwise it is the checkout, or the working folder if the package is
installed without one.
"""

import os
from pathlib import Path

from evor_eqx.errors import UserError

_PACKAGE = Path(__file__).resolve().parent.parent


def checkout() -> Path | None:
    """The checkout that this package is imported from; None for an installed package."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def home() -> Path:
    """The folder that holds data, runs, agents, figures and the course."""
    if os.environ.get("EVOR_HOME"):
        return Path(os.environ["EVOR_HOME"]).expanduser().resolve()
    return checkout() or Path.cwd()


def check_home() -> None:
    """Raise UserError if EVOR_HOME names something that can be no folder."""
    given = os.environ.get("EVOR_HOME", "")
    try:
        path = Path(given).expanduser()
        found = path.resolve(strict=False)
    except (RuntimeError, OSError) as error:  # a user that does not exist, a link to itself
        raise UserError(f"EVOR_HOME: got {given} ({error}), expected a folder; choose another") from None
    if path.is_symlink() and not found.exists():
        raise UserError(f"EVOR_HOME: got a link to {found}, which is not there; mount or make that folder")
    if found.exists() and not found.is_dir():
        raise UserError(f"EVOR_HOME: got a file, {found}, expected a folder; choose another")


def data_dir() -> Path:
    """Generated datasets, and those downloaded by `evor data --download`."""
    return home() / "data"


def runs_dir() -> Path:
    """Run folders: configuration, manifest, metrics, checkpoints and results."""
    return home() / "runs"


def agents_dir() -> Path:
    """Saved agents."""
    return home() / "agents"


def shipped_dir() -> Path:
    """The agents that come with the package."""
    return _PACKAGE / "zoo" / "shipped"


def compiled_dir() -> Path:
    """Where JAX keeps compiled programs for the next process; it may be deleted at any time."""
    return home() / ".cache" / "jax"


def figures_dir() -> Path:
    """Figures with their JSON sidecars."""
    return home() / "figures"


def course_dir() -> Path:
    """The course as web pages."""
    return home() / "course"


def notebooks_dir() -> Path:
    """The project's notebooks: those of the checkout, else the copies inside the installed package.

    **Raises:** UserError if there are none.
    """
    root = checkout()
    folder = root / "notebooks" if root else _PACKAGE / "notebooks"
    if not folder.is_dir():
        raise UserError(f"no notebooks at {folder}: reinstall evor_eqx, or run from a checkout of the project")
    return folder


def style_file() -> Path:
    """The one matplotlib style of all figures (package data)."""
    return _PACKAGE / "evor.mplstyle"


def ogbench_dir() -> Path:
    """OGBench's own dataset folder, which may hold published files."""
    return Path("~/.ogbench/data").expanduser()
