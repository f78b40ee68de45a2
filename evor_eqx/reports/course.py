"""The course as web pages: runs its notebooks and writes pages that need no network.

A lesson is a notebook with a cell tagged `exercise`.
"""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from evor_eqx.errors import UserError
from evor_eqx.reports.alternatives import with_alternatives
from evor_eqx.reports.notebooks import executed_copy, notebooks, run_all
from evor_eqx.reports.site import CONF, build, replace_folder, synchronise
from evor_eqx.system import paths
from evor_eqx.system.files import check_folder


def lessons() -> dict[str, Path]:
    """The notebooks of the course by name, in order."""
    return {name: path for name, path in notebooks().items() if _is_lesson(path)}


def write_course(folder: Path | None = None, parameters: Mapping[str, Any] | None = None) -> int:
    """Run the lessons that have changed, then write a page for each lesson and `index.html`.

    **Arguments:**

    - `folder`: where to write; `course/` in the home folder if None. Pages of before are replaced.
    - `parameters`: values for the notebooks' parameters.

    **Returns:**

    The exit code: 1 if a lesson fails (no page is written then), else 0.

    **Raises:**

    UserError for parameters that do not fit, if there are no lessons, and for a folder with other files in it.
    """
    folder, names = check_pages(folder), list(lessons())
    if not names:
        raise UserError(f"no lessons in {paths.notebooks_dir()}: expected notebooks with a cell tagged `exercise`")
    if run_all(names, parameters):
        return 1
    copies = {name: executed_copy(name, parameters or {}) for name in names}
    pages = {f"{name}.ipynb": with_alternatives(copy.read_text()) for name, copy in copies.items()}
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
        source, made = Path(place) / "source", Path(place) / "pages"
        synchronise({**pages, "index.md": contents(names), "conf.py": CONF}, source)
        if build(source, made):
            return 1
        replace_folder(made, folder)
    print(folder / "index.html")
    return 0


def contents(names: list[str]) -> str:
    """The titles of lessons, as links, with their questions, and Sphinx's table of contents; in Markdown."""
    rows = []
    for number, name in enumerate(names):
        first = nbformat.read(lessons()[name], as_version=4).cells[0].source
        question = next((part for part in first.split("\n\n") if part.startswith("**Question.**")), "")
        row = f"{number}. [{_title(first)}]({name}.ipynb)<br>{question.removeprefix('**Question.** ')}"
        rows.append(row.replace("\n", " "))
    toctree = "\n".join(["```{toctree}", ":hidden:", "", *names, "```"])
    return "\n".join(["# The course", "", *rows, "", toctree, ""])


def check_pages(folder: Path | None) -> Path:
    """The folder of the pages, whole. Raises UserError for a place where they cannot be put."""
    folder = (folder or paths.course_dir()).expanduser().resolve()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "index.html").is_file():
        raise UserError(f"to: got a folder with other files, {folder}, expected an empty or a new one; choose another")
    check_folder(folder, "to")
    return folder


def _title(source: str) -> str:
    return re.sub(r"^#+ ", "", source.partition("\n")[0])


def _is_lesson(path: Path) -> bool:
    return any("exercise" in cell.metadata.get("tags", []) for cell in nbformat.read(path, as_version=4).cells)
