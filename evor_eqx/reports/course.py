"""The course as web pages: its notebooks run headlessly, then written as HTML that needs no network.

A lesson is a notebook with a cell tagged `exercise`. Its page holds the pictures, and the maths as MathML, which
browsers typeset by themselves (Firefox, Safari, Chrome since 109); the usual page would load MathJax from a server.
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
_QUIET = logging.Logger(__name__, logging.ERROR)  # it warns of every picture without a text in its place
_ALPHABETS = {"double-struck": "DOUBLE-STRUCK", "script": "SCRIPT"}
_LETTER = re.compile(rf'<mi mathvariant="({"|".join(_ALPHABETS)})">([A-Z])</mi>')
_FUNCTION = re.compile(r'(<mi>[a-z]{2,}</mi>)(?!<mo stretchy="false">&#x00028;)')  # log, exp, ... but before (


def lessons() -> dict[str, Path]:
    """The notebooks of the course, in order, by name."""
    return {name: path for name, path in notebooks().items() if _is_lesson(path)}


def write_course(folder: Path | None = None, parameters: Mapping[str, Any] | None = None) -> int:
    """Run what has changed of the course and write a page for each lesson and `index.html`; return the exit code.

    Into `folder`, by default `course/` in the home folder. If a lesson fails, that is 1 and no page is written. Raises
    UserError for parameters that do not fit and if there are no lessons.
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
    """TeX as MathML, `display` inline or block.

    What browsers leave out is put in: double-struck and script letters are characters of their own (MathML Core has no
    `mathvariant` for them), and a thin space follows a function's name.
    """
    return _FUNCTION.sub(r'\1<mspace width="0.167em"/>', _LETTER.sub(_character, convert(tex, display=display)))


class _Renderer(IPythonRenderer):
    """Markdown with typeset maths."""

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block")


class _Exporter(HTMLExporter):
    """A notebook as one page, pictures and maths inside."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        return MarkdownWithMath(renderer=_Renderer(escape=False, exclude_anchor_links=True)).render(source)


def _write(path: Path, notebook: nbformat.NotebookNode, title: str) -> None:
    page, _ = _Exporter(raw_template=_TEMPLATE, log=_QUIET).from_notebook_node(notebook, {"metadata": {"name": title}})
    with replacing(path) as temporary:
        temporary.write_text(page)


def _contents() -> str:
    """Titles, as links, and questions of all lessons."""
    rows = []
    for number, (name, path) in enumerate(lessons().items()):
        first = nbformat.read(path, as_version=4).cells[0].source
        question = next((part for part in first.split("\n\n") if part.startswith("**Question.**")), "")
        rows.append(f"{number}. [{_title(first)}]({name}.html)<br>{question.removeprefix('**Question.** ')}")
    return "# The course\n\n" + "\n".join(row.replace("\n", " ") for row in rows)


def _links(names: list[str], name: str) -> str:
    """To the contents, the lesson before and the lesson after."""
    place = names.index(name)
    around = {"before: ": names[:place][-1:], "next: ": names[place + 1 :][:1]}
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
    except KeyError:  # those that Unicode had before, such as R for the real numbers
        letter = unicodedata.lookup(name)
    return f"<mi>{letter}</mi>"
