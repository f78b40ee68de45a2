"""The course as pages: what is in them, that they need no network, and that nothing is executed twice."""

import html
import re
from pathlib import Path

import nbformat
import pytest
from fontTools.ttLib import TTFont
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from evor_eqx.errors import UserError
from evor_eqx.reports import site
from evor_eqx.reports.course import write_course
from evor_eqx.reports.mathml import mathml
from evor_eqx.system import paths

FIRST = "# A lesson\n\n**Question.** What is\n$\\mathbb E\\,e^{z / \\tau_R}$?\n\nIt takes a second."
SOLUTION = "<details><summary>Solution</summary>\n\n```python\ntwice = 2 * count\n```\n\n</details>"
DRAW = """
import matplotlib.pyplot as plt
from evor_eqx.reports.figures import save_figure
fig, ax = plt.subplots()
save_figure(fig, "line", parameters={"preset": preset}, numbers={"y": 1})
fig;
"""


@pytest.fixture
def folder(home, monkeypatch):
    """A notebooks folder with one lesson and one notebook that is none."""
    monkeypatch.setattr(paths, "notebooks_dir", lambda: home / "notebooks")
    (home / "notebooks").mkdir()
    write_notebook(home / "notebooks" / "00_lesson.ipynb", new_code_cell("...", metadata={"tags": ["exercise"]}))
    write_notebook(home / "notebooks" / "10_study.ipynb")
    return home / "notebooks"


def write_notebook(path, *cells):
    parameters = new_code_cell('preset = "smoke"', metadata={"tags": ["parameters"]})
    cells = [new_markdown_cell(FIRST), parameters, new_code_cell(DRAW), *cells, new_markdown_cell(SOLUTION)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def test_pages_hold_pictures_and_maths_and_load_nothing(folder, home, capsys):
    assert write_course(parameters={"preset": "smoke"}) == 0
    pages = {path.name: path.read_text() for path in (home / "course").glob("*.html")}
    assert sorted(pages) == ["00_lesson.html", "genindex.html", "index.html", "search.html"]
    lesson, index = pages["00_lesson.html"], pages["index.html"]
    (picture,) = re.findall(r'<img[^>]* src="([^"]*)"', lesson)
    assert re.findall(r'<img[^>]* alt="([^"]*)"', lesson) == ["A lesson. What is E e^z / tau_R? Figure: line."]
    assert (home / "course" / picture).read_bytes().startswith(b"\x89PNG") and "<summary>Solution</summary>" in lesson
    assert "<mi>𝔼</mi>" in lesson and "$\\mathbb" not in lesson and "twice" in lesson
    assert re.search(r'<a [^>]*href="00_lesson.html"[^>]*>A lesson', index) and re.search(r"What is\s+<math", index)
    for page in pages.values():
        assert not re.search(r'<(script|img|link|iframe)[^>]* (src|href)="(https?:)?//', page)
    assert str(home / "course" / "index.html") in capsys.readouterr().out

    assert write_course(home / "elsewhere", {"preset": "smoke"}) == 0
    assert "00_lesson: unchanged, skipped" in capsys.readouterr().out
    assert (home / "elsewhere" / "00_lesson.html").read_text() == lesson
    made = {path.name for path in home.iterdir()} - {".cache"}
    assert made == {"notebooks", "course", "elsewhere", "runs", "figures"}


def test_a_lesson_that_fails_leaves_the_pages_of_before(folder, home, capsys):
    (home / "course").mkdir()
    (home / "course" / "index.html").write_text("before")
    write_notebook(folder / "00_lesson.ipynb", new_code_cell("1 / 0", metadata={"tags": ["exercise"]}))
    assert write_course(parameters={"preset": "smoke"}) == 1
    assert "FAILED 00_lesson" in capsys.readouterr().out
    assert [path.read_text() for path in (home / "course").iterdir()] == ["before"]


def test_a_place_for_the_pages_is_looked_at_before_the_notebooks_run(folder, home):
    (home / "taken").write_text("mine")
    (home / "full").mkdir()
    (home / "full" / "mine.txt").write_text("mine")
    for place in (home / "taken", home / "full", home / "taken" / "below"):
        with pytest.raises(UserError, match=r"to: got .*choose another"):
            write_course(place, {"preset": "smoke"})
    assert not (home / "runs").exists() and (home / "full" / "mine.txt").read_text() == "mine"


def test_a_folder_without_lessons_is_refused(folder):
    (folder / "00_lesson.ipynb").unlink()
    with pytest.raises(UserError, match=r"no lessons in .*tagged `exercise`"):
        write_course()


@pytest.mark.parametrize(
    "tex, part",
    [
        (r"\mathbb R", "<mi>ℝ</mi>"),
        (r"\mathcal N(0, 1)", "<mi>𝒩</mi>"),
        (r"\mathcal L", "<mi>ℒ</mi>"),
        (r"\log z", '<mi>log</mi><mspace width="0.167em"/><mi>z</mi>'),
        (r"\log(z)", "<mi>log</mi><mo"),
        (r"\lVert v \rVert^2", '<msup><mo stretchy="false">&#x02016;</mo><mn>2</mn></msup>'),
        (r"\tau_R", "<msub><mi>&#x003C4;</mi><mi>R</mi></msub>"),
    ],
)
def test_tex_becomes_what_browsers_typeset(tex, part):
    assert part in mathml(tex)
    assert 'display="block"' in mathml(tex, "block")


def test_all_maths_of_the_notebooks_can_be_typeset_in_the_font_that_the_pages_bring_along():
    font = TTFont(Path(site.__file__).parent / "static" / "noto-sans-math.woff")
    known = {*font.getBestCmap(), ord("¯")}  # the bar over a letter, which every font for text has
    assert "MATH" in font  # what browsers need to place and stretch
    for path in paths.notebooks_dir().rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for display, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", cell.source, re.DOTALL):
                    shown = mathml(display or inline)
                    assert "\\" not in shown, (path, display or inline)
                    letters = html.unescape(re.sub(r"<[^>]*>", "", shown))
                    assert {letter for letter in letters if ord(letter) not in known and not letter.isspace()} == set()
