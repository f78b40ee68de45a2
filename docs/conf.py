"""Sphinx's settings for the documentation. `make docs` builds it (see `build.py`)."""

import re

from evor_eqx.reports.site import SETTINGS

globals().update(SETTINGS)
extensions = [*SETTINGS["extensions"], "sphinx.ext.autodoc"]
html_extra_path = ["pages"]  # they are as they are: pages/live/explorer.html becomes live/explorer.html
html_title = "evor_eqx"
html_theme_options = {
    "show_toc_level": 2,
    "home_page_in_toc": False,
    "use_download_button": False,
    "navbar_persistent": [],
}
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

_CODE = re.compile(r"(?<!`)(`[^`\n]+`)(?!`)")
_SPECIAL = re.compile(r"(?<!\*)(\*)(?!\*)|(\|)|(?<=\w)(_)(?=\W|$)")  # a star alone, a bar, a name that ends in _


def _as_restructured_text(app, what, name, obj, options, lines):
    """Docstrings are Markdown: code between single backticks becomes reStructuredText's double ones."""
    if what == "data":  # the docstring of its class
        lines.clear()
    for number, line in enumerate(lines):
        parts = _CODE.split(line)
        parts[::2] = [_SPECIAL.sub(r"\\\g<0>", part) for part in parts[::2]]
        lines[number] = "".join(f"`{part}`" if place % 2 else part for place, part in enumerate(parts))


def _with_short_names(app, what, name, obj, options, signature, returned):
    """Arrays by the name that people import them by."""
    return tuple(text and re.sub(r"\bjaxlib\._jax\.|\bnumpy\.", "", text) for text in (signature, returned))


def setup(app):
    app.connect("autodoc-process-signature", _with_short_names)
    app.connect("autodoc-process-docstring", _as_restructured_text)
