"""Every notebook's form, and a headless run of those that use datasets (the others: `test_headless_tabular`)."""

import ast

import nbformat
import pytest
from headless import NOTEBOOKS, ON_TABULAR_PROCESSES, check_headless_run, solution_code, tagged

from evor_eqx.reports.course import lessons
from evor_eqx.reports.parameters import declared_parameters

NAMES = [path.stem for path in NOTEBOOKS]
COURSE = [path for path in NOTEBOOKS if path.stem < "10" or path.stem == "bring_your_own"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_notebook_has_the_form_that_readers_and_papermill_expect(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    first, second, *rest = notebook.cells
    assert first.cell_type == "markdown" and first.source.startswith("# ") and "**Question.**" in first.source
    assert declared_parameters(path)["preset"] == "laptop" and "parameters" in second.metadata.tags
    code = [cell.source for cell in rest if cell.cell_type == "code"]
    assert max(source.count("\n") + 1 for source in code) <= 25
    assert sum(source.count("\n") + 1 for source in code) <= 150
    assert notebook.cells[-1].cell_type == "markdown" and notebook.cells[-1].source.startswith("## Notes")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_figure_is_finished_in_the_cell_that_makes_it(path):
    """A cell shows its figures when it ends: what a later cell changes would only be in the saved picture."""
    earlier: set[str] = set()  # names of figures and axes of earlier cells
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        assigned = {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        earlier -= assigned
        touched = [node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Subscript)]
        assert not {node.id for node in touched if isinstance(node, ast.Name)} & earlier, cell.source
        earlier |= figures_and_axes(tree)


def figures_and_axes(tree: ast.AST) -> set[str]:
    """The names that a call of `plt.subplots` is assigned to."""
    made = [
        node for node in ast.walk(tree) if isinstance(node, ast.Assign) and "plt.subplots" in ast.unparse(node.value)
    ]
    return {name.id for node in made for name in ast.walk(node.targets[0]) if isinstance(name, ast.Name)}


def test_the_course_is_the_notebooks_00_to_09_and_bring_your_own():
    assert list(lessons()) == [path.stem for path in COURSE]
    *numbered, last = [path.stem for path in COURSE]
    assert [name[:2] for name in numbered] == [f"{number:02d}" for number in range(10)] and last == "bring_your_own"


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


@pytest.mark.parametrize("path", [path for path in NOTEBOOKS if path not in COURSE], ids=lambda path: path.stem)
def test_what_a_study_lets_predict_it_answers_below(path):
    """A lesson may answer in other forms, such as a derivation."""
    texts = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    asks, answers = (
        [i for i, text in enumerate(texts) if f"**{word}" in text] for word in ("Predict first:", "Notice.")
    )
    assert asks and answers and max(answers) > max(asks)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(ON_TABULAR_PROCESSES)])
def test_notebook_runs_headlessly_from_nothing_and_saves_what_it_draws(name, module_home, notebooks_with_solutions):
    check_headless_run(name, module_home)
