"""Alternative texts for the pictures of executed notebooks: what readers hear who do not see them.

They are made of what the notebook says itself: the heading and the sentence above the cell, and the labels that the
cell gives to axes and lines.
"""

import ast
import re
from typing import Any

import nbformat

_LABELS = ("title", "xlabel", "ylabel", "label")
_SETTERS = {"set_title", "set_xlabel", "set_ylabel", "suptitle"}


def with_alternatives(text: str) -> str:
    """An executed notebook, as JSON, in which each cell with a picture has an alternative text for Sphinx."""
    notebook = nbformat.reads(text, as_version=4)
    heading = sentence = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next(iter(re.findall(r"^#+ (.+)", cell.source, re.MULTILINE)), heading)
            sentence = _first_sentence(cell.source) or sentence
        elif any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            labels = "; ".join(dict.fromkeys(_labels(cell.source)))
            alternative = _plain(f"{heading}. {sentence}" + (f" Labels: {labels}." if labels else ""))
            settings: dict[str, Any] = cell.metadata.setdefault("mystnb", {})
            settings.setdefault("image", {}).setdefault("alt", alternative)
    return nbformat.writes(notebook)


def _first_sentence(source: str) -> str:
    """The first sentence below the headings; a question that is asked before is none, nor is a banner."""
    lines = [line for line in source.splitlines() if not line.startswith(("#", "<", ">", "```"))]
    text = " ".join(" ".join(lines).split()).removeprefix("**Question.** ")
    return re.split(r"(?<=[.?!:]) ", text)[0]


def _labels(code: str) -> list[str]:
    """The literal texts that a cell's code gives to axes and lines."""
    try:
        calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    except SyntaxError:  # a line for IPython
        return []
    given: list[ast.expr] = [each.value for call in calls for each in call.keywords if each.arg in _LABELS]
    given += [c.args[0] for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in _SETTERS and c.args]
    return [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def _plain(text: str) -> str:
    """Text without the marks of Markdown and TeX."""
    text = re.sub(r"\\[,;! ]", " ", re.sub(r"\\(mathbb|mathcal|mathrm|text|left|right|big|Big)\b", "", text))
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)  # a link's own text
    return " ".join(re.sub(r"[$*`{}\\]", "", text).split())
