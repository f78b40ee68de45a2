"""The course as web pages: runs its notebooks and writes them as HTML that needs no network.

A lesson is a notebook with a cell tagged `exercise`. Its page contains the pictures, and the maths as MathML, which
Firefox, Safari and Chrome (since 109) display themselves. nbconvert's own page would load MathJax from a server.
"""

import logging
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat.v4 import new_markdown_cell, new_notebook

from evor_eqx.errors import UserError
from evor_eqx.reports.notebooks import executed_copy, notebooks, run_all
from evor_eqx.system import paths
from evor_eqx.system.files import replacing

# JupyterLab's page without the scripts that it would load from servers.
_TEMPLATE = "{% extends 'lab/index.html.j2' %}" + "".join(
    f"{{% block {name} %}}{{% endblock %}}"
    for name in ("html_head_js", "html_head_js_mathjax", "html_head_js_mermaidjs")
)
_QUIET = logging.Logger(__name__, logging.ERROR)  # without warnings of pictures without alternative text
_ALPHABETS = {"double-struck": "DOUBLE-STRUCK", "script": "SCRIPT"}
_LETTER = re.compile(rf'<mi mathvariant="({"|".join(_ALPHABETS)})">([A-Z])</mi>')
_FUNCTION = re.compile(r'(<mi>[a-z]{2,}</mi>)(?!<mo stretchy="false">&#x00028;)')  # log, exp, ... unless ( follows


def lessons() -> dict[str, Path]:
    """The notebooks of the course by name, in order."""
    return {name: path for name, path in notebooks().items() if _is_lesson(path)}


def write_course(folder: Path | None = None, parameters: Mapping[str, Any] | None = None) -> int:
    """Run the lessons that have changed, then write a page for each lesson and `index.html`.

    **Arguments:**

    - `folder`: where to write; `course/` in the home folder if None.
    - `parameters`: values for the notebooks' parameters.

    **Returns:**

    The exit code: 1 if a lesson fails (no page is written then), else 0.

    **Raises:**

    UserError for parameters that do not fit, and if there are no lessons.
    """
    folder, names = folder or paths.course_dir(), list(lessons())
    if not names:
        raise UserError(f"no lessons in {paths.notebooks_dir()}: expected notebooks with a cell tagged `exercise`")
    if run_all(names, parameters):
        return 1
    for name in names:
        notebook = nbformat.read(executed_copy(name, parameters or {}), as_version=4)
        notebook.cells.insert(0, new_markdown_cell(_links(names, name), id="links"))
        _write(folder / f"{name}.html", notebook, _title(notebook.cells[1].source))
    _write(folder / "index.html", new_notebook(cells=[new_markdown_cell(_contents(), id="contents")]), "The course")
    print(folder / "index.html")
    return 0


def mathml(tex: str, display: str = "inline") -> str:
    """Convert TeX to MathML, `display` inline or block.

    Double-struck and script letters become Unicode characters, because browsers ignore `mathvariant` for them (MathML
    Core). A thin space is added after a function's name.
    """
    return _FUNCTION.sub(r'\1<mspace width="0.167em"/>', _LETTER.sub(_character, convert(tex, display=display)))


class _Renderer(IPythonRenderer):
    """Markdown with typeset maths."""

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block")


class _Exporter(HTMLExporter):
    """Writes a notebook as one page that contains its pictures and maths."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(source)


def _write(path: Path, notebook: nbformat.NotebookNode, title: str) -> None:
    page, _ = _Exporter(raw_template=_TEMPLATE, log=_QUIET).from_notebook_node(notebook, {"metadata": {"name": title}})
    with replacing(path) as temporary:
        temporary.write_text(page)


def _contents() -> str:
    """The titles of all lessons, as links, with their questions."""
    rows = []
    for number, (name, path) in enumerate(lessons().items()):
        first = nbformat.read(path, as_version=4).cells[0].source
        question = next((part for part in first.split("\n\n") if part.startswith("**Question.**")), "")
        rows.append(f"{number}. [{_title(first)}]({name}.html)<br>{question.removeprefix('**Question.** ')}")
    return "# The course\n\n" + "\n".join(row.replace("\n", " ") for row in rows)


def _links(names: list[str], name: str) -> str:
    """Links to the contents, the previous lesson and the next one."""
    place = names.index(name)
    around = {"previous: ": names[:place][-1:], "next: ": names[place + 1 :][:1]}
    links = [f"[{label}{other}]({other}.html)" for label, others in around.items() for other in others]
    return " · ".join(["[contents](index.html)", *links])


def _title(source: str) -> str:
    return source.partition("\n")[0].removeprefix("# ")


def _is_lesson(path: Path) -> bool:
    return any("exercise" in cell.metadata.get("tags", []) for cell in nbformat.read(path, as_version=4).cells)


def _character(match: re.Match[str]) -> str:
    name = f"{_ALPHABETS[match[1]]} CAPITAL {match[2]}"
    try:
        letter = unicodedata.lookup(f"MATHEMATICAL {name}")
    except KeyError:  # letters that Unicode had earlier, such as R for the real numbers
        letter = unicodedata.lookup(name)
    return f"<mi>{letter}</mi>"
