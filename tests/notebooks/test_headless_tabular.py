"""Headless runs of the notebooks that train on tabular processes: in a file, hence a process, of their own."""

import pytest
from headless import NOTEBOOKS, ON_TABULAR_PROCESSES, check_headless_run


@pytest.mark.slow
@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS if path.stem.startswith(ON_TABULAR_PROCESSES)])
def test_notebook_runs_headlessly_from_nothing_and_saves_what_it_draws(name, module_home, notebooks_with_solutions):
    check_headless_run(name, module_home)
