"""A widget as one HTML file: the module, its style and its data, which need neither network nor kernel."""

import base64
import hashlib
import html
import json
from typing import Any

from evor_eqx.widgets import front

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body class="evor-page">
<main id="evor-page"><h1>{title}</h1><p class="evor-intro">{intro}</p></main>
<noscript>This page computes its pictures by JavaScript, which is turned off: allow it for this file.</noscript>
<script type="application/json" id="evor-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def page(kind: str, title: str, intro: str, data: dict[str, Any]) -> str:
    """A page that shows a widget.

    Its content policy allows nothing but its own script and style, which it names by their hashes, and pictures in it.

    **Arguments:**

    - `kind`: which of the module's widgets.
    - `title`: the page's title, plain text.
    - `intro`: what the page shows and what to do with it, plain text.
    - `data`: what that widget starts from. Bytes in it travel as base64.

    **Returns:**

    The HTML.
    """
    policy = (
        f"default-src 'none'; script-src {_hashed(front.SCRIPT)}; style-src {_hashed(front.STYLE)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    text = json.dumps({"kind": kind, **data}, default=_base64).replace("<", "\\u003c")  # no tag ends within it
    return _PAGE.format(
        policy=policy,
        title=html.escape(title),
        intro=html.escape(intro),
        style=front.STYLE,
        data=text,
        script=front.SCRIPT,
    )


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _base64(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} cannot be saved on a page")
