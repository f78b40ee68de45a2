"""Alternative texts of notebooks' pictures: from the text above, and from the labels in the cell."""

import nbformat
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
