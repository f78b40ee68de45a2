"""Alternative texts of notebooks' pictures: from the text above, and from the labels in the cell."""

import nbformat
import pytest
from headless import NOTEBOOKS, check_alternatives
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from evor_eqx.reports.alternatives import with_alternatives

PICTURE = new_output("display_data", data={"image/png": "iVBORw0KGgo="})


def test_a_picture_is_told_by_the_text_above_it_and_by_its_labels():
    draw = "ax.plot(x, y, label='exact')\nax.set(xlabel='updates', title=name)\nax.set_ylabel('$W_1$ (%)')\nfig;"
    cells = [
        new_markdown_cell("# A lesson"),
        new_markdown_cell("## How far\n\n$W_1$ falls with **each** update. More text."),
        new_code_cell(draw, outputs=[PICTURE]),
        new_code_cell("%time draw()", outputs=[PICTURE]),
        new_code_cell("1 + 1"),
    ]
    notebook = nbformat.reads(with_alternatives(nbformat.writes(new_notebook(cells=cells))), as_version=4)
    first, second, third = (cell.metadata for cell in notebook.cells[2:])
    text = "How far. W_1 falls with each update."
    assert first.mystnb.image.alt == f"{text} Labels: exact; updates; W_1 (%)."
    assert second.mystnb.image.alt == text and "mystnb" not in third


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_each_figure_of_a_notebook_has_a_text_of_its_own(path):
    notebook = nbformat.read(path, as_version=4)
    saving = [cell for cell in notebook.cells if cell.cell_type == "code" and "save_figure(" in cell.source]
    for cell in saving:
        cell.outputs = [PICTURE]
    assert saving
    check_alternatives(nbformat.writes(notebook))


def test_a_question_before_a_figure_does_not_tell_it_and_a_figure_s_name_does():
    question = "## How far does it get?\n\n**Predict first:** how far?\n\n$$x$$\n\nAs far as this: here. And more."
    cells = [new_markdown_cell(question), new_code_cell('save_figure(fig, "far", numbers={})', outputs=[PICTURE])]
    notebook = nbformat.reads(with_alternatives(nbformat.writes(new_notebook(cells=cells))), as_version=4)
    assert notebook.cells[1].metadata.mystnb.image.alt == "How far does it get? As far as this: here. Figure: far."


def test_a_picture_without_a_text_and_two_with_the_same_are_found():
    for cells in (
        [new_code_cell("fig;", outputs=[PICTURE])],
        [
            new_markdown_cell("# A lesson about what is long enough"),
            new_code_cell("fig;", outputs=[PICTURE]),
            new_code_cell("fig;", outputs=[PICTURE]),
        ],
    ):
        with pytest.raises(AssertionError):
            check_alternatives(nbformat.writes(new_notebook(cells=cells)))
