"""TeX as MathML, which browsers display themselves, so that pages need no script from a server: a Sphinx extension."""

import re
import unicodedata
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

_ALPHABETS = {"double-struck": "DOUBLE-STRUCK", "script": "SCRIPT"}
_LETTER = re.compile(rf'<mi mathvariant="({"|".join(_ALPHABETS)})">([A-Z])</mi>')
_NORM = "<mo>&#x02016;</mo>"  # would stretch over the whole formula on the left, and over its power on the right
_FUNCTION = re.compile(r'(<mi>[a-z]{2,}</mi>)(?!<mo stretchy="false">&#x00028;)')  # log, exp, ... unless ( follows


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer `mathml` with Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathml(tex: str, display: str = "inline") -> str:
    """Convert TeX to MathML, `display` inline or block.

    Double-struck and script letters become Unicode characters, because browsers ignore `mathvariant` for them (MathML
    Core). A thin space is added after a function's name. The bars of a norm keep their size.
    """
    shown = convert(tex, display=display).replace(_NORM, _NORM.replace("<mo>", '<mo stretchy="false">'))
    return _FUNCTION.sub(r'\1<mspace width="0.167em"/>', _LETTER.sub(_character, shown))


def _inline(translator: Any, node: Any) -> None:
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: Any) -> None:
    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def _character(match: re.Match[str]) -> str:
    name = f"{_ALPHABETS[match[1]]} CAPITAL {match[2]}"
    try:
        letter = unicodedata.lookup(f"MATHEMATICAL {name}")
    except KeyError:  # letters that Unicode had earlier, such as R for the real numbers
        letter = unicodedata.lookup(name)
    return f"<mi>{letter}</mi>"
