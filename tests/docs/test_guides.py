"""The guides: their Python runs as it stands, in order, from an empty home; the pages stay short."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evor_eqx.data.returns import KNOWN_WEIGHT, steps_to_know

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDES = ("own_data", "own_critic", "own_target", "gpus", "interruptions", "reading_results")
PAGES = {DOCS / "guides" / f"{name}.md": 8_000 for name in GUIDES} | {DOCS / "faq.md": 9_000}
PAGES |= {DOCS / "next_steps.md": 8_000}
SHELL = re.compile(r"^```sh\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
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
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}  # a command sets it
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", GUIDES)
def test_the_python_of_a_guide_runs_as_it_stands(name, home):
    script = home / f"{name}.py"  # a file, because the code of own objects is part of what names a run
    script.write_text(script_of(DOCS / "guides" / f"{name}.md"))
    assert run(sys.executable, str(script), folder=home).strip()


@pytest.mark.slow
def test_the_first_steps_of_the_next_projects_run_at_smoke(home):
    page = (DOCS / "next_steps.md").read_text()
    scripts, (_, _, _, suite, describe, _) = FENCE.findall(page), SHELL.findall(page)
    smaller = {'preset="laptop"': 'preset="smoke", episodes_of_data=2', "num_episodes=50": "num_episodes=2"}
    smaller |= {"num_episodes=8": "num_episodes=1", "cube-double": "pointmaze-medium", "-play-task4": "-navigate-task4"}
    smaller |= {"num_seeds=2": "num_seeds=2, processes=['twins']"}
    (home / "my_critic.py").write_text(FENCE.search((DOCS / "guides" / "own_critic.md").read_text())[1])
    said = {"stricter": ("success", 10), "rule": ("success", 2), "benchmark": ("twins", 1)}
    for (name, (word, num_lines)), script in zip(said.items(), scripts, strict=True):
        for given, less in smaller.items():
            script = script.replace(given, less)
        (home / f"{name}.py").write_text(script)
        assert run(sys.executable, f"{name}.py", folder=home).count(word) == num_lines
    assert suite.startswith("evor suite ") and describe.startswith("evor data ")
    command = [*suite.split()[1:], "--minutes", "0"]
    assert "left: 1 of 1 jobs" in run(sys.executable, "-m", "evor_eqx.cli.main", *command, folder=home)


def test_the_first_python_of_own_data_is_a_file_with_a_task(home):
    first = FENCE.search((DOCS / "guides" / "own_data.md").read_text())
    (home / "mine.py").write_text(first[1])
    said = run(sys.executable, "-m", "evor_eqx.cli.main", "data", "mine.py:task", "--describe", folder=home)
    assert "ended by the task" in said


def test_own_data_says_when_a_return_is_known_as_the_code_has_it():
    page = " ".join((DOCS / "guides" / "own_data.md").read_text().split())
    assert rf"weighs at most {KNOWN_WEIGHT:.0%}".replace("%", " %") in page and rf"\gamma^k \le {KNOWN_WEIGHT}" in page
    assert f"At `gamma=0.95` that takes {steps_to_know(0.95)} steps, at `gamma=0.98` {steps_to_know(0.98)}." in page
    assert f"in the episodes of 100 steps above, the first {101 - steps_to_know(0.95)} rows have" in page


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
    assert 30 <= len(rows) <= 70 and rows == sorted(rows, key=str.lower)
