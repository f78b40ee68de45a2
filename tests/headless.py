"""A notebook's headless run from nothing at the smallest preset, judged: its pictures, sidecars, and exercises.

The exercises of the course are tried in the same run, first as they are and then with their solutions.
"""

import json
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from evor_eqx.reports.alternatives import with_alternatives
from evor_eqx.reports.notebooks import executed_copy, run_all
from evor_eqx.system import paths

FOLDER = paths.notebooks_dir()
NOTEBOOKS = sorted(FOLDER.rglob("*.ipynb"), key=lambda path: path.stem)
# Those that train on tabular processes alone share runs with each other, and the others their data and base policies.
ON_TABULAR_PROCESSES = ("00", "03", "04", "10")
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.*?)\n```\n.*\n</details>", re.DOTALL)


def tagged(cells, tag):
    """Indices of the cells with a tag."""
    return [index for index, cell in enumerate(cells) if tag in cell.metadata.get("tags", [])]


def solution_code(cell):
    """The code in a folded solution."""
    match = SOLUTION.fullmatch(cell.source)
    assert match, cell.source
    return match[1]


def write_with_solutions(folder: Path) -> None:
    """Write the notebooks into a folder, in their subfolders; each solution is followed by its code and the check."""
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        for index in tagged(notebook.cells, "solution"):
            check = new_code_cell(notebook.cells[index - 1].source, metadata={"tags": ["check"]})
            notebook.cells[index + 1 : index + 1] = [new_code_cell(solution_code(notebook.cells[index])), check]
        copy = folder / path.relative_to(FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, copy)


def check_alternatives(executed: str) -> None:
    """All pictures of an executed notebook have a text of their own for those who do not see them."""
    cells = nbformat.reads(with_alternatives(executed), as_version=4).cells
    told = [
        cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        for cell in cells
        if cell.cell_type == "code" and any("image/png" in output.get("data", {}) for output in cell.outputs)
    ]
    assert [text for text in told if len(text) < 40 or "$" in text or "\\" in text] == []
    assert sorted({text for text in told if told.count(text) > 1}) == []


def check_headless_run(name: str, home: Path) -> None:
    """Run a notebook and look at all that it leaves behind."""
    before = set(home.glob("figures/smoke/*"))
    assert run_all([name], {"preset": "smoke"}) == 0
    made = set(home.glob("figures/smoke/*")) - before
    stems = {path.stem for path in made}
    assert stems and made == {
        home / "figures" / "smoke" / f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "json")
    }
    for stem in stems:
        sidecar = json.loads((home / "figures" / "smoke" / f"{stem}.json").read_text())
        assert sidecar["parameters"]["preset"] == "smoke" and sidecar["numbers"]
        assert sidecar["datasets"] or not sidecar["runs"]  # numbers of a run say which data they come from
    cells = nbformat.read(executed_copy(name, {"preset": "smoke"}), as_version=4).cells
    assert "ran at the preset `smoke`" in cells[1].source
    shown = [output.data for cell in cells if cell.cell_type == "code" for output in cell.outputs if "data" in output]
    assert sum("image/png" in data for data in shown) >= len(stems)
    unseen = [data["text/plain"] for data in shown if set(data) == {"text/plain"} and "Figure" in data["text/plain"]]
    assert unseen == []  # a figure as text, where a picture should be
    printed = [output.text for cell in cells if cell.cell_type == "code" for output in cell.outputs if "text" in output]
    assert [text for text in printed if re.search(r"\$[^$\n]+\$", text)] == []  # TeX that nobody typesets
    check_alternatives(executed_copy(name, {"preset": "smoke"}).read_text())
    lines = [cells[index].outputs[0].text.splitlines()[0] for index in tagged(cells, "check")]
    assert [line.split(": ")[1] for line in lines] == ["not tried yet", "right"][: len(lines)]
    assert len(lines) == 2 * (name < "10" or name == "bring_your_own")
