"""Every notebook: its form, and a headless run from nothing at the smallest preset, pictures and sidecars included."""

import json

import nbformat
import pytest

from evor_eqx import paths
from evor_eqx.figures import run_all
from evor_eqx.parameters import declared_parameters

NOTEBOOKS = sorted(paths.notebooks_dir().glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


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


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs_headlessly_from_nothing_and_saves_what_it_draws(name, module_home):
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
