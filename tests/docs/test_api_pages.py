"""The API reference: each public name is documented once, and every example runs as it stands, page by page."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import evor_eqx as evor

FOLDER = Path(__file__).parent.parent.parent / "docs" / "api"
PAGES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.md"))}
DIRECTIVE = re.compile(r"^\.\. auto(\w+):: evor_eqx\.(\w+)", re.MULTILINE)


def code(page: str) -> str:
    """The page's Python, on the lines that it has in the page, so that errors name them."""
    lines, is_code = [], False
    for line in page.splitlines():
        is_code = line != "```" and (is_code or line == "```python")
        lines.append(line if is_code and line != "```python" else "")
    return "\n".join(lines)


def test_each_public_name_is_documented_once_and_nothing_else_is():
    found = Counter(name for page in PAGES.values() for _, name in DIRECTIVE.findall(page))
    assert found == Counter(evor.__all__)
    assert sum(page.count(".. auto") for page in PAGES.values()) == found.total()


def test_the_index_names_each_page_twice():
    for name in PAGES.keys() - {"index"}:
        assert f"]({name}.md)" in PAGES["index"] and f"\n{name}\n" in PAGES["index"], name


def test_each_public_name_is_in_an_example():
    examples = "\n".join(map(code, PAGES.values()))
    assert [name for name in evor.__all__ if not re.search(rf"\bevor\.{name}\b", examples)] == []


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_short(name):
    assert len(PAGES[name].encode()) <= 9_000 and max(map(len, PAGES[name].splitlines())) <= 120


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PAGES.keys() - {"index"}))
def test_the_examples_of_a_page_run_in_their_order(name, home, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(home / "minari"))
    script = home / f"{name}.py"  # a file: the identity of own code needs its source
    script.write_text(code(PAGES[name]))
    result = subprocess.run([sys.executable, script], cwd=home, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
