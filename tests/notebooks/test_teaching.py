"""TEACHING.md: every lesson has its place in it, and the copies for a class hold no solutions."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from headless import tagged

from evor_eqx.reports.course import lessons

ROOT = Path(__file__).parents[2]
TEACHING = (ROOT / "notebooks" / "TEACHING.md").read_text()
NUMBERS = [name[:2] for name in lessons() if name != "bring_your_own"]


def section(title: str) -> str:
    return re.split(r"^## ", TEACHING.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def test_each_lesson_is_in_every_part_of_it():
    assert re.findall(r"^\| (\d\d) \|", section("What the class will say"), re.MULTILINE) == NUMBERS
    assert re.findall(r"^\| (\d\d) \|", section("The exercises"), re.MULTILINE) == NUMBERS
    assert re.findall(r"^\* \*\*(\d\d)\.\*\*", section("Notes on each lesson"), re.MULTILINE) == NUMBERS
    assert re.findall(r"^\| \d+: (\d\d) \|", section("Ten sessions of 60 minutes"), re.MULTILINE) == NUMBERS
    assert re.findall(r"^\| (\d\d) \|", section("How long cells take"), re.MULTILINE) == NUMBERS


def test_the_minutes_of_a_plan_add_up():
    for title, end in (("One session of 90 minutes", 90), ("Lesson 04 in 45 minutes", 45)):
        spans = [(int(a), int(b)) for a, b in re.findall(r"^\| (\d+)–(\d+) \|", section(title), re.MULTILINE)]
        assert spans[0][0] == 0 and spans[-1][1] == end
        assert [start for start, _ in spans[1:]] == [stop for _, stop in spans[:-1]]
    for line in re.findall(r"^\d\. \*\*.*", section("Three sessions of 90 minutes"), re.MULTILINE):
        assert 80 <= sum(int(minutes) for minutes in re.findall(r"\((\d+)", line)) <= 90, line


def test_copies_for_the_class_hold_no_solution(tmp_path):
    (command,) = re.findall(r"^\.venv/bin/(jupyter nbconvert .*?)$", TEACHING.replace("\\\n", ""), re.MULTILINE)
    shutil.copytree(ROOT / "notebooks" / "course", tmp_path / "notebooks" / "course")
    *words, pattern = shlex.split(command)[1:]
    assert pattern == "notebooks/course/*.ipynb"
    lesson = "notebooks/course/04_flow_td_targets.ipynb"
    subprocess.run([sys.executable, "-m", *words, lesson], cwd=tmp_path, check=True, capture_output=True)
    given, copy = (
        nbformat.read(tmp_path / path, as_version=4).cells for path in (lesson, "class/04_flow_td_targets.ipynb")
    )
    assert len(copy) == len(given) - len(tagged(given, "solution")) == len(given) - 1
    assert not tagged(copy, "solution") and tagged(copy, "exercise")
