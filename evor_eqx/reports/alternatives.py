"""Alternative texts for the pictures of executed notebooks: what readers hear who do not see them.

They are made of what the notebook says itself: the heading and the sentence above the cell, the figure's name, and the
labels that the cell gives to axes and lines.
"""

import ast
import re
from typing import Any

import nbformat

_LABELS = ("title", "xlabel", "ylabel", "label")
_FOLDED = re.compile(r"<details>.*?</details>|^```.*?^```$", re.DOTALL | re.MULTILINE)  # solutions, code
_TO_THE_READER = ("**Predict first:**", "**Exercise.**", "**Notice.**")  # about another figure, or before it is drawn
_SETTERS = {"set_title", "set_xlabel", "set_ylabel", "suptitle"}


def with_alternatives(text: str) -> str:
    """An executed notebook, as JSON, in which each cell with a picture has an alternative text for Sphinx."""
    notebook = nbformat.reads(text, as_version=4)
    heading = sentence = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            *_, text = re.split(r"^(?=#+ )", _FOLDED.sub("", cell.source), flags=re.MULTILINE)  # below the last heading
            if text.startswith("#"):
                (heading, _, text), sentence = text.lstrip("# ").partition("\n"), ""
            sentence = _first_sentence(text) or sentence
        elif any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            alternative = _plain(" ".join([_ended(heading), sentence, *_names_and_labels(cell.source)]))
            settings: dict[str, Any] = cell.metadata.setdefault("mystnb", {})
            settings.setdefault("image", {}).setdefault("alt", alternative)
    return nbformat.writes(notebook)


def _first_sentence(text: str) -> str:
    """The first sentence that tells what comes: of no table, formula or banner, and not a question to be answered."""
    for paragraph in re.split(r"\n\s*\n", re.sub(r"\$\$.*?\$\$", "\n\n", text, flags=re.DOTALL)):
        told = " ".join(paragraph.split()).removeprefix("**Question.** ")
        if told and not told.startswith((*_TO_THE_READER, "|", ">", "<")):
            return re.split(r"(?<=[.?!]) ", told)[0]
    return ""


def _ended(heading: str) -> str:
    return heading if heading.endswith(("?", "!", ".")) else f"{heading}."


def _names_and_labels(code: str) -> list[str]:
    """The names of the figures that a cell saves, and the literal texts that it gives to axes and lines."""
    try:
        calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    except SyntaxError:  # a line for IPython
        return []
    saved = [c.args[1] for c in calls if isinstance(c.func, ast.Name) and c.func.id == "save_figure" and c.args[1:]]
    given = [each.value for call in calls for each in call.keywords if each.arg in _LABELS]
    given += [c.args[0] for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in _SETTERS and c.args]
    lists = {"Figure": _texts(saved), "Labels": _texts(given)}
    return [f"{kind}: {'; '.join(texts)}." for kind, texts in lists.items() if texts]


def _texts(nodes: list[ast.expr]) -> list[str]:
    """Those that are literal texts, each once."""
    return list(dict.fromkeys(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)))


def _plain(text: str) -> str:
    """Text without the marks of Markdown and TeX."""
    text = re.sub(r"\\[,;! ]", " ", re.sub(r"\\(mathbb|mathcal|mathrm|text|left|right|big|Big)\b", "", text))
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text)  # a link's own text
    return " ".join(re.sub(r"[$*`{}\\]", "", text).split())
