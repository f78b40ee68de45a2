"""The end of lesson 09, which reads the suite's results: with them, and where there are none."""

import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
LESSON = ROOT / "notebooks" / "course" / "09_results.ipynb"


def run_the_end(preset: str) -> dict:
    """Run the imports of the lesson and all code below its last heading but the notes; return the names."""
    cells = nbformat.read(LESSON, as_version=4).cells
    (start,) = [place for place, cell in enumerate(cells) if cell.source.startswith("## Where the distribution counts")]
    code = [cell.source for cell in (*cells[1:3], *cells[start:]) if cell.cell_type == "code"]
    names: dict = {}
    with plt.style.context("default"):
        exec("\n".join([code[0], f"preset = {preset!r}", *code[1:]]), names)
    return names


@pytest.fixture
def results(home):
    shutil.copytree(ROOT / "figures" / "results", home / "figures" / "results")
    return home / "figures"


@pytest.mark.parametrize("preset", ["laptop", "smoke"])
def test_it_shows_the_results_and_saves_them_under_the_laptop_s_name_alone(results, preset, capsys):
    axes = run_the_end(preset)["axes"]
    plt.close("all")
    assert [len(ax.containers) for ax in axes] == [3, 3, 5]  # three seeds twice, five critics
    saved = {path.name for path in results.rglob("distribution-counts.*")}
    kinds = ("png", "pdf", "json") if preset == "laptop" else ()
    assert saved == {f"distribution-counts.{kind}" for kind in kinds}
    said = capsys.readouterr().out
    assert "cube-double       EVOR with seeds 0, 1, 2 and tau_R = inf: 46%, 24%, 56%" in said


def test_it_says_in_one_sentence_that_there_are_no_results(home, capsys):
    assert "fig" not in run_the_end("laptop")
    assert "suite-laptop.csv has not all of these results. `evor suite` makes them." in capsys.readouterr().out
    assert not (home / "figures").exists()
