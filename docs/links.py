"""Links of pages that lead nowhere, and what pages and their styles would load from a server."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINKS = {"a": "href", "link": "href", "img": "src", "script": "src", "iframe": "src", "source": "src"}
LOADED = set(LINKS) - {"a"}
STYLED = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")


class _Page(HTMLParser):
    """The links of a page with their tags, and the names that links to it may end in."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.names = {"", "top"}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.names |= {values.get("id") or "", values.get("name") or ""}
        target = values.get(LINKS.get(tag, "")) or ""
        if target and values.get("rel") not in ("canonical", "author"):
            self.links.append((tag, target))


def faults(folder: Path) -> Iterator[str]:
    """A line for each link to a file or a heading that is not there, and for what would come from a server."""
    files = [path for path in folder.rglob("*.html") if "_static" not in path.parts]  # the theme's templates lie there
    pages = {path.resolve(): _Page(path.read_text()) for path in files}
    for path, page in pages.items():
        for tag, target in page.links:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                if tag in LOADED and parts.scheme != "data":
                    yield f"{path.relative_to(folder.resolve())}: {tag} loads {target}"
                continue
            goal = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not goal.exists() or (goal in pages and unquote(parts.fragment) not in pages[goal].names):
                yield f"{path.relative_to(folder.resolve())}: {target} is not there"
    for style in folder.rglob("*.css"):
        for target in STYLED.findall(style.read_text(errors="replace")):
            yield f"{style.relative_to(folder)}: style loads {target}"
