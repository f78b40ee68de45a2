"""Web pages by Sphinx that need no network: settings and build of the course (`evor course`) and the documentation."""

import importlib.util
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evor_eqx.errors import UserError

SETTINGS: dict[str, Any] = {
    "project": "evor_eqx",
    "author": "the authors of evor_eqx",
    "release": version("evor_eqx"),
    "extensions": ["myst_nb", "evor_eqx.reports.mathml"],
    "myst_enable_extensions": ["dollarmath"],
    "myst_heading_anchors": 3,
    "nb_execution_mode": "off",  # notebooks are executed before, by papermill
    "nb_ipywidgets_js": {},  # widgets need a kernel; their script would come from a server
    "html_math_renderer": "mathml",
    "html_theme": "sphinx_book_theme",
    "html_static_path": [str(Path(__file__).parent / "static")],
    "html_css_files": ["pages.css"],
    "html_js_files": ["pages.js"],
    "html_show_sourcelink": False,
    "html_copy_source": False,
    "pygments_style": "a11y-high-contrast-light",
}
CONF = "from evor_eqx.reports.site import SETTINGS\n\nglobals().update(SETTINGS)\n"  # of a source folder


def build(source: Path, pages: Path) -> int:
    """Build pages from a folder of Markdown files and executed notebooks. Warnings are errors, and are printed.

    **Arguments:**

    - `source`: the folder, with `conf.py` and an `index`. What Sphinx keeps for the next build lies beside it.
    - `pages`: where the pages lie; those of before are brought up to date.

    **Returns:**

    The exit code of Sphinx; 0 if there is no warning.

    **Raises:**

    UserError without the packages of the extra `docs`.
    """
    missing = [name for name in ("sphinx", "myst_nb", "sphinx_book_theme") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Sphinx: got no package {missing[0]}, expected those that make web pages; pip install 'evor_eqx[docs]'"
        )
    options = ["-q", "-W", "--keep-going", "-j", "auto", "-d", str(source.with_name("doctrees"))]
    return subprocess.run([sys.executable, "-m", "sphinx", *options, str(source), str(pages)]).returncode


def synchronise(files: dict[str, Path | str], folder: Path) -> None:
    """Make a folder hold exactly these files, by their names in it; those that are the same are left alone.

    **Arguments:**

    - `files`: a file to copy, or the text, for each name, which may have folders in it.
    - `folder`: the folder; other files in it are removed.
    """
    for path in folder.rglob("*") if folder.exists() else ():
        if path.is_file() and str(path.relative_to(folder)) not in files:
            path.unlink()
    for name, content in files.items():
        path, data = folder / name, content.encode() if isinstance(content, str) else content.read_bytes()
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def replace_folder(made: Path, folder: Path) -> None:
    """Put a folder that was made in the place of another one."""
    if folder.exists():
        shutil.rmtree(folder)
    shutil.move(made, folder)
