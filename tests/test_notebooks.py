"""Every notebook: its form, and a headless run from nothing at the smallest preset, pictures and sidecars included.

The exercises of the course are tried in the same runs, first as they are and then with their solutions.
"""

import ast
import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from evor_eqx import paths
from evor_eqx.course import lessons
from evor_eqx.figures import executed_copy, run_all
from evor_eqx.parameters import declared_parameters

NOTEBOOKS = sorted(paths.notebooks_dir().glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
COURSE = [path for path in NOTEBOOKS if path.stem < "10"]
SOLUTION = re.compile(r"<details><summary>Solution</summary>\n\n```python\n(.*?)\n```\n.*\n</details>", re.DOTALL)


def tagged(cells, tag):
    return [index for index, cell in enumerate(cells) if tag in cell.metadata.get("tags", [])]


def solution_code(cell):
    match = SOLUTION.fullmatch(cell.source)
    assert match, cell.source
    return match[1]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebook_has_the_form_that_readers_and_papermill_expect(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    first, second, *rest = notebook.cells
    assert first.cell_type == "markdown" and first.source.startswith("# ") and "**Question.**" in first.source
    assert declared_parameters(path)["preset"] == "smoke" and "parameters" in second.metadata.tags
    code = [cell.source for cell in rest if cell.cell_type == "code"]
    assert max(source.count("\n") + 1 for source in code) <= 25
    assert sum(source.count("\n") + 1 for source in code) <= 150
    assert notebook.cells[-1].cell_type == "markdown" and notebook.cells[-1].source.startswith("## Notes")


def test_the_course_is_the_notebooks_00_to_09():
    assert list(lessons()) == [path.stem for path in COURSE]
    assert [path.stem[:2] for path in COURSE] == [f"{number:02d}" for number in range(10)]


@pytest.mark.parametrize("path", COURSE, ids=[path.stem for path in COURSE])
def test_a_lesson_asks_for_a_prediction_and_has_one_exercise_with_its_check_and_solution(path):
    cells = nbformat.read(path, as_version=4).cells
    assert any("**Predict first:**" in cell.source for cell in cells)
    (exercise,) = tagged(cells, "exercise")
    assert tagged(cells, "check") == [exercise + 1] and tagged(cells, "solution") == [exercise + 2]
    assert cells[exercise - 1].cell_type == "markdown" and "**Exercise.**" in cells[exercise - 1].source
    assert "exercises.check(" in cells[exercise + 1].source
    (placeholder,) = ast.parse(cells[exercise].source).body
    (solution,) = ast.parse(solution_code(cells[exercise + 2])).body
    assert isinstance(placeholder, ast.FunctionDef) and isinstance(solution, ast.FunctionDef)
    assert ast.unparse(placeholder.body[-1]) == "return ..."
    assert (placeholder.name, ast.unparse(placeholder.args)) == (solution.name, ast.unparse(solution.args))


@pytest.fixture(scope="module")
def notebooks_with_solutions(tmp_path_factory):
    """The notebooks in a folder of their own, where after each solution its code and the check come once more."""
    folder = tmp_path_factory.mktemp("notebooks")
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        for index in tagged(notebook.cells, "solution"):
            check = new_code_cell(notebook.cells[index - 1].source, metadata={"tags": ["check"]})
            notebook.cells[index + 1 : index + 1] = [new_code_cell(solution_code(notebook.cells[index])), check]
        nbformat.write(notebook, folder / path.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "notebooks_dir", lambda: folder)
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_headlessly_from_nothing_and_saves_what_it_draws(name, module_home, notebooks_with_solutions):
    before = set(module_home.glob("figures/smoke/*"))
    assert run_all([name], {"preset": "smoke"}) == 0
    made = set(module_home.glob("figures/smoke/*")) - before
    stems = {path.stem for path in made}
    assert stems and made == {
        module_home / "figures" / "smoke" / f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf", "json")
    }
    for stem in stems:
        sidecar = json.loads((module_home / "figures" / "smoke" / f"{stem}.json").read_text())
        assert sidecar["parameters"]["preset"] == "smoke" and sidecar["numbers"]
        assert sidecar["datasets"] or not sidecar["runs"]  # numbers of a run say which data they come from
    cells = nbformat.read(executed_copy(name), as_version=4).cells
    lines = [cells[index].outputs[0].text.splitlines()[0] for index in tagged(cells, "check")]
    assert [line.split(": ")[1] for line in lines] == ["not tried yet", "right"][: len(lines)]
    assert len(lines) == 2 * (name < "10")
