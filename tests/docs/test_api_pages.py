"""The API reference: each public name is documented once, and every example runs as it stands, page by page."""

import inspect
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import evor_eqx as evor

FOLDER = Path(__file__).parent.parent.parent / "docs" / "api"
PAGES = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.md"))}
DIRECTIVE = re.compile(r"^\.\. auto\w+:: evor_eqx\.(\w+)(?:\((.*)\))?$", re.MULTILINE)


def code(page: str) -> str:
    """The page's Python, on the lines that it has in the page, so that errors name them."""
    lines, is_code = [], False
    for line in page.splitlines():
        is_code = line != "```" and (is_code or line == "```python")
        lines.append(line if is_code and line != "```python" else "")
    return "\n".join(lines) + "\n"


def documented() -> list[tuple[str, str]]:
    """Each name with a directive, and the arguments that the page gives it in place of its own."""
    return [found for page in PAGES.values() for found in DIRECTIVE.findall(page)]


def test_each_public_name_is_documented_once_and_nothing_else_is():
    assert Counter(name for name, _ in documented()) == Counter(evor.__all__)
    assert sum(page.count(".. auto") for page in PAGES.values()) == len(evor.__all__)


def test_arguments_that_a_page_writes_out_are_those_of_the_code():
    for name, arguments in documented():
        if arguments not in ("", "..."):
            written = [each.partition("=")[0] for each in arguments.split(", ") if each != "*"]
            assert written == list(inspect.signature(getattr(evor, name)).parameters), name


def test_the_index_describes_and_lists_each_page():
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
def test_the_examples_of_a_page_run_in_their_order_and_print_what_it_says(name, home, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(home / "minari"))
    script = home / f"{name}.py"  # a file: the identity of own code needs its source
    script.write_text(code(PAGES[name]))
    result = subprocess.run([sys.executable, script], cwd=home, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    printed = iter(result.stdout.splitlines())
    for comment in re.findall(r"^ *print\(.*\)  # (.*)$", script.read_text(), re.MULTILINE):
        is_there = any(comment == line or comment.startswith(f"{line}: ") for line in printed)  # after the one before
        assert is_there, comment
