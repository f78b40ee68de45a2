from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from evor_eqx.errors import UserError
from evor_eqx.reports.parameters import check_parameters, declared_parameters, parse_parameters

PARAMETERS = 'preset = "smoke"\nnum_points = 3\nscale: float = 1.0\nuse_log = False\ntaus = [0.5, 1.0]\nlimit = None'


def write_notebook(path: Path, source: str, tag: str = "parameters") -> Path:
    cell = new_code_cell(source, metadata={"tags": [tag]})
    nbformat.write(new_notebook(cells=[cell]), path)
    return path


def test_the_declared_parameters_are_the_literals_of_the_tagged_cell(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb", PARAMETERS)
    values = {"preset": "smoke", "num_points": 3, "scale": 1.0, "use_log": False, "taus": [0.5, 1.0], "limit": None}
    assert declared_parameters(notebook) == values


def test_fitting_parameters_pass(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb", PARAMETERS)
    fitting = {"preset": "x", "num_points": 4, "scale": 2, "use_log": True, "taus": (1, 2.5), "limit": [1, "a"]}
    check_parameters(notebook, fitting)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_pionts": 4}, "no parameter 'num_pionts' .did you mean 'num_points'"),
        ({"num_points": 4.0}, "num_points = 4.0, expected int like 3"),
        ({"num_points": True}, "num_points = True, expected int"),
        ({"num_points": "4"}, "num_points = '4', expected int"),
        ({"scale": True}, "scale = True, expected float"),
        ({"use_log": 1}, "use_log = 1, expected bool"),
        ({"taus": 1.0}, "taus = 1.0, expected list"),
        ({"taus": [1.0, "2"]}, "expected list like"),
        ({"preset": None}, "preset = None, expected str"),
    ],
)
def test_a_parameter_that_does_not_fit_is_refused(tmp_path, parameters, message):
    with pytest.raises(UserError, match=message):
        check_parameters(write_notebook(tmp_path / "a.ipynb", PARAMETERS), parameters)


def test_a_notebook_without_literal_parameters_is_refused(tmp_path):
    with pytest.raises(UserError, match="no cell tagged `parameters`"):
        check_parameters(write_notebook(tmp_path / "a.ipynb", PARAMETERS, tag="setup"), {})
    with pytest.raises(UserError, match="expected only lines `name = literal`"):
        check_parameters(write_notebook(tmp_path / "b.ipynb", "x = 2 * 3"), {})


@pytest.mark.parametrize("text", ["", "<<<<<<< HEAD\n", "{}", "[]"])
def test_a_file_that_is_no_notebook_is_named(tmp_path, text):
    (tmp_path / "a.ipynb").write_text(text)
    with pytest.raises(UserError, match=r"a.ipynb is not a notebook .*restore it"):
        declared_parameters(tmp_path / "a.ipynb")


def test_words_become_parameters():
    words = ["num_points=4", "scale=-1e-3", "taus=[1, 2]", "preset=laptop", "title=a=b", "use_log=True", "limit=None"]
    assert parse_parameters(words) == {
        "num_points": 4,
        "scale": -0.001,
        "taus": [1, 2],
        "preset": "laptop",
        "title": "a=b",
        "use_log": True,
        "limit": None,
    }
    for word in ("scale", "=3", "a b=3"):
        with pytest.raises(UserError, match="expected name=value"):
            parse_parameters([word])
