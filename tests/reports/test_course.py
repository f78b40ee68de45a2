"""The course as pages: what is in them, that they need no network, and that nothing is executed twice."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from evor_eqx.errors import UserError
from evor_eqx.reports.course import mathml, write_course
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
    pages = {path.name: path.read_text() for path in (home / "course").iterdir()}
    assert sorted(pages) == ["00_lesson.html", "index.html"]
    lesson, index = pages["00_lesson.html"], pages["index.html"]
    assert 'src="data:image/png;base64,' in lesson and "<summary>Solution</summary>" in lesson
    assert "<mi>𝔼</mi>" in lesson and "$" not in re.sub(r"<style.*?</style>", "", lesson, flags=re.DOTALL)
    assert '<a href="00_lesson.html">A lesson</a>' in index and "What is <math" in index
    for page in pages.values():
        assert "<script" not in page and not re.search(r'(src|href)="(https?:)?//', page)
    assert str(home / "course" / "index.html") in capsys.readouterr().out

    assert write_course(home / "elsewhere", {"preset": "smoke"}) == 0
    assert "00_lesson: unchanged, skipped" in capsys.readouterr().out
    assert (home / "elsewhere" / "00_lesson.html").read_text() == lesson


def test_a_lesson_that_fails_leaves_the_pages_of_before(folder, home, capsys):
    (home / "course").mkdir()
    (home / "course" / "index.html").write_text("before")
    write_notebook(folder / "00_lesson.ipynb", new_code_cell("1 / 0", metadata={"tags": ["exercise"]}))
    assert write_course(parameters={"preset": "smoke"}) == 1
    assert "FAILED 00_lesson" in capsys.readouterr().out
    assert [path.read_text() for path in (home / "course").iterdir()] == ["before"]


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
        (r"\tau_R", "<msub><mi>&#x003C4;</mi><mi>R</mi></msub>"),
    ],
)
def test_tex_becomes_what_browsers_typeset(tex, part):
    assert part in mathml(tex)
    assert 'display="block"' in mathml(tex, "block")


def test_all_maths_of_the_notebooks_can_be_typeset():
    for path in paths.notebooks_dir().rglob("*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for display, inline in re.findall(r"\$\$(.+?)\$\$|\$([^$]+)\$", cell.source, re.DOTALL):
                    assert "\\" not in mathml(display or inline), (path, display or inline)
