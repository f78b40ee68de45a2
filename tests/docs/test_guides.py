"""The guides: their Python runs as it stands, in order, from an empty home; the pages stay short."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDES = ("own_data", "own_critic", "own_target", "gpus", "interruptions", "reading_results")
PAGES = {DOCS / "guides" / f"{name}.md": 6_000 for name in GUIDES} | {DOCS / "faq.md": 9_000}
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def script_of(guide: Path) -> str:
    """The Python of a guide, each line at the line that it has in the guide, so that a traceback names it."""
    text = guide.read_text()
    lines = [""] * (text.count("\n") + 1)
    for fence in FENCE.finditer(text):
        code, first = fence[1].splitlines(), text.count("\n", 0, fence.start(1))
        lines[first : first + len(code)] = code
    return "\n".join(lines)


def run(*command: str, folder: Path) -> str:
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_the_python_of_a_guide_runs_as_it_stands(name, home):
    if name == "reading_results":  # which reads the record and the sidecars that a checkout has
        shutil.copytree(ROOT / "figures", home / "figures", ignore=shutil.ignore_patterns("*.png", "*.pdf"))
    script = home / f"{name}.py"  # a file, because the code of own objects is part of what names a run
    script.write_text(script_of(DOCS / "guides" / f"{name}.md"))
    assert run(sys.executable, str(script), folder=home).strip()


def test_the_first_python_of_own_data_is_a_file_with_a_task(home):
    first = FENCE.search((DOCS / "guides" / "own_data.md").read_text())
    (home / "mine.py").write_text(first[1])
    said = run(sys.executable, "-m", "evor_eqx.cli.main", "data", "mine.py:task", "--describe", folder=home)
    assert "ended by the task" in said


def test_pages_are_short():
    long = {page.name: len(page.read_bytes()) for page, most in PAGES.items() if len(page.read_bytes()) > most}
    wide = [
        f"{page.name}:{number}"
        for page in (*PAGES, DOCS / "glossary.md")
        for number, line in enumerate(page.read_text().splitlines(), start=1)
        if len(line) > 120
    ]
    assert not long and not wide


def test_the_glossary_is_in_alphabetical_order():
    rows = re.findall(r"^\| ([^|]+?) \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)[1:]  # below the header
    assert 30 <= len(rows) <= 45 and rows == sorted(rows, key=str.lower)
