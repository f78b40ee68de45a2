import json
import math
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from evor_eqx.errors import UserError
from evor_eqx.reports import figures, notebooks
from evor_eqx.reports.figures import save_figure
from evor_eqx.reports.notebooks import FigureError, executed_copy, run_all, run_notebook
from evor_eqx.reports.parameters import declared_parameters
from evor_eqx.runs.run import Run
from evor_eqx.system import paths
from evor_eqx.system.files import sha256
from evor_eqx.system.json_records import read_json, write_json

PARAMETERS = 'preset = "smoke"\nnum_points = 3\nscale: float = 1.0'
DRAW = """
import os, sys
import matplotlib.pyplot as plt
from evor_eqx.reports.figures import save_figure
from evor_eqx.system import paths
plt.style.use(paths.style_file())
fig, ax = plt.subplots()
ax.plot([scale * k for k in range(num_points)])
numbers = {"python": sys.executable, "cwd": os.getcwd()}
save_figure(fig, "line", parameters={"scale": scale, "num_points": num_points, "seed": 7}, numbers=numbers)
"""


@pytest.fixture
def folder(home, monkeypatch):
    """A notebooks folder of the test's own."""
    monkeypatch.setattr(paths, "notebooks_dir", lambda: home / "notebooks")
    (home / "notebooks").mkdir()
    return home / "notebooks"


def write_notebook(path: Path, parameters: str, *cells: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [new_code_cell(source) for source in (parameters, *cells)]
    first.metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=[first, *rest], metadata={"kernelspec": kernel}), path)
    return path


def a_figure():
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    return fig


def test_an_unknown_notebook_is_refused_with_the_known_ones(folder):
    write_notebook(folder / "policy.ipynb", PARAMETERS)
    with pytest.raises(UserError, match=r"no notebook 'polcy' .did you mean 'policy'.*expected one of: policy"):
        run_all(["polcy"])


def test_the_project_s_notebooks_declare_their_parameters():
    for notebook in paths.notebooks_dir().rglob("*.ipynb"):
        assert "preset" in declared_parameters(notebook), notebook


def test_a_run_uses_this_interpreter_and_draws_what_plain_papermill_draws(folder, home, monkeypatch):
    notebook = write_notebook(folder / "a.ipynb", PARAMETERS, DRAW)
    subprocess.run([sys.executable, "-m", "papermill", notebook, home / "out.ipynb", "-p", "scale", "2.5"], check=True)
    plain = {suffix: sha256(home / "figures" / f"line{suffix}") for suffix in (".png", ".pdf")}
    decoy = home / "jupyter" / "kernels" / "python3" / "kernel.json"
    write_json(decoy, {"argv": ["/bin/false", "{connection_file}"], "display_name": "decoy", "language": "python"})
    monkeypatch.setenv("JUPYTER_PATH", str(home / "jupyter"))
    (home / "figures" / "line.png").unlink()

    written = run_notebook("a", {"scale": 2.5})

    assert [path.name for path in written] == ["line.json", "line.pdf", "line.png"]
    assert plain == {suffix: sha256(home / "figures" / f"line{suffix}") for suffix in (".png", ".pdf")}
    sidecar = read_json(home / "figures" / "line.json")
    assert sidecar["numbers"] == {"python": sys.executable, "cwd": str(folder)}
    assert sidecar["parameters"]["seed"] == 7
    assert (home / "runs" / "notebooks" / "a.ipynb").exists()
    assert sorted(path.name for path in (home / "runs" / "notebooks").iterdir()) == ["a.ipynb"]


def test_a_failing_cell_is_named_and_leaves_the_earlier_figures(folder, home):
    fig = a_figure()
    save_figure(fig, "line", parameters={}, numbers={})
    before = {path.name: path.read_bytes() for path in (home / "figures").iterdir()}
    write_notebook(folder / "a.ipynb", PARAMETERS, DRAW, "raise ValueError('too\\nbad')")
    with pytest.raises(FigureError, match=r"a, cell \[3\]: ValueError: too .see .*runs/notebooks/a.ipynb"):
        run_notebook("a", {})
    assert before == {path.name: path.read_bytes() for path in (home / "figures").iterdir()}
    assert "ValueError" in (home / "runs" / "notebooks" / "a.ipynb").read_text()


def test_a_lost_kernel_is_started_again(folder, home):
    lose = "from pathlib import Path; import os\nif not Path('lost').exists(): Path('lost').touch(); os._exit(1)"
    write_notebook(folder / "a.ipynb", PARAMETERS, lose)
    assert run_notebook("a", {}) == []


def test_what_a_kill_left_is_removed_and_another_preset_s_copy_is_not_touched(folder, home):
    write_notebook(folder / "a.ipynb", "preset = 'laptop'")
    copies = home / "runs" / "notebooks"
    write_notebook(copies / "paper" / "a.ipynb", "1 + 1")
    (copies / ".a.killed12").mkdir(parents=True)
    before = (copies / "paper" / "a.ipynb").read_bytes()
    run_notebook("a", {})
    assert sorted(path.name for path in copies.iterdir()) == ["a.ipynb", "paper"]
    assert (copies / "paper" / "a.ipynb").read_bytes() == before


def test_kernels_that_are_lost_again_and_again_are_given_up(folder, monkeypatch):
    write_notebook(folder / "a.ipynb", PARAMETERS)
    attempts = []

    def no_kernel(*args, **kwargs):
        attempts.append(args)
        raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr(notebooks, "execute_notebook", no_kernel)
    with pytest.raises(FigureError, match=r"its kernel was lost 2 times.*Kernel died before.*memory ran out"):
        run_notebook("a", {})
    assert len(attempts) == notebooks.NUM_ATTEMPTS


@pytest.fixture
def drawn(folder, home, monkeypatch):
    """Names of the notebooks run, each drawing one figure that reads one run, without the cost of a kernel."""
    names = []
    run = Run.of("cube", "policy", {"seed": 3, "dataset": "cube-play", "fingerprint": "abc"}).open()
    run.begin()

    def draw(name, parameters):
        names.append(name)
        if "fail" in name:
            raise FigureError(f"{name}, cell [1]: ValueError: no (see copy)")
        write_notebook(executed_copy(name, parameters), PARAMETERS)
        reads = {**parameters, "results": "results/suite.csv"}
        picture = save_figure(a_figure(), name, parameters=reads, numbers={}, runs=[run])
        return [picture.with_suffix(suffix) for suffix in (".png", ".pdf", ".json")]

    monkeypatch.setattr(notebooks, "run_notebook", draw)
    return names


def test_an_unchanged_notebook_is_skipped_and_a_changed_one_is_not(folder, home, drawn, capsys):
    notebook = write_notebook(folder / "a.ipynb", PARAMETERS)
    manifest = next((home / "runs" / "cube").glob("*/manifest.json"))

    def is_drawn(**options):
        drawn.clear()
        assert run_all(**options) == 0
        return drawn == ["a"]

    assert is_drawn()
    assert not is_drawn()
    assert "a: unchanged, skipped" in capsys.readouterr().out
    assert is_drawn(force=True)
    assert is_drawn(parameters={"scale": 3.0})
    assert is_drawn()
    (home / "figures" / "a.pdf").unlink()
    assert is_drawn()
    executed_copy("a", {}).write_bytes(b"")  # a kill can leave it so
    assert is_drawn()
    assert is_drawn(parameters={"preset": "paper"})
    assert not is_drawn()  # its copy, figures and stamp are its own
    write_notebook(folder / "a.ipynb", PARAMETERS, "1 + 1")
    assert is_drawn()
    Run(manifest.parent).finish()
    assert is_drawn()
    (home / "figures" / "results").mkdir()
    (home / "figures" / "results" / "suite.csv").write_text("task,method\n")
    assert is_drawn()
    ran = nbformat.read(notebook, as_version=4)  # outputs are no change
    ran.cells[1].execution_count = 5
    nbformat.write(ran, notebook)
    assert not is_drawn()


def test_packages_that_npm_put_beside_the_code_are_no_part_of_it(folder, home, drawn, monkeypatch):
    package = home / "package"
    monkeypatch.setattr(notebooks, "__file__", str(package / "reports" / "notebooks.py"))
    write_notebook(folder / "a.ipynb", PARAMETERS)
    assert run_all() == 0
    drawn.clear()
    write_json(package / "widgets" / "front" / "node_modules" / "esbuild" / "package.json", {"version": "1"})
    assert run_all() == 0 and drawn == []
    write_json(package / "zoo" / "agent.json", {"version": "1"})
    assert run_all() == 0 and drawn == ["a"]


def test_one_failure_stops_no_other_and_gives_exit_code_1(folder, drawn, capsys):
    for name in ("a", "b_fails", "c"):
        write_notebook(folder / f"{name}.ipynb", PARAMETERS)
    assert run_all() == 1
    assert drawn == ["a", "b_fails", "c"]
    assert "FAILED b_fails, cell [1]: ValueError: no (see copy)" in capsys.readouterr().out
    drawn.clear()
    assert run_all(["b_fails", "c"]) == 1
    assert drawn == ["b_fails"]


def test_nothing_runs_if_one_parameter_is_wrong(folder, drawn):
    write_notebook(folder / "a.ipynb", PARAMETERS)
    write_notebook(folder / "b.ipynb", "other = 1")
    with pytest.raises(UserError, match=r"b.ipynb has no parameter 'preset'"):
        run_all(parameters={"preset": "laptop"})
    assert drawn == []


def test_a_saved_figure_depends_on_its_input_alone(home):
    def contents():
        save_figure(a_figure(), "a", parameters={"seed": 1}, numbers={"y": np.array([1.0, 2.0])})
        return {path.name: path.read_bytes() for path in (home / "figures").iterdir()}

    first = contents()
    assert sorted(first) == ["a.json", "a.pdf", "a.png"]
    assert contents() == first


def test_a_sidecar_says_where_the_numbers_come_from(home):
    run = Run.of(
        "cube", "policy", {"seed": 3, "dataset": "cube-play", "origin": "generated", "fingerprint": "abc"}
    ).open()
    numbers = {"y": np.float32([0.1, math.nan]), "n": np.int64(3), "pair": (1, {2: 1 / 3})}
    more = Run.of(
        "cube", "policy", {"seed": 4, "dataset": "cube-play", "origin": "folder", "fingerprint": "fff"}
    ).open()
    origins = {"runs": [run, more, more], "datasets": {"maze": "ogbench:def"}}
    picture = save_figure(a_figure(), "a", parameters={}, numbers=numbers, **origins)
    sidecar = json.loads(picture.with_suffix(".json").read_text(), parse_constant=pytest.fail)
    assert sidecar["numbers"] == {"y": [0.1, None], "n": 3, "pair": [1, {"2": 0.333333}]}
    assert sidecar["runs"] == {run.name: 3, more.name: 4}
    assert sidecar["datasets"] == {"cube-play": "generated:abc, folder:fff", "maze": "ogbench:def"}
    assert sidecar["picture"] == sha256(picture)
    assert {"evor_eqx", "jax", "equinox", "optax", "ogbench", "mujoco", "numpy", "matplotlib", "python"} <= set(
        sidecar["versions"]
    )


def test_pictures_of_another_preset_never_replace_those_of_the_laptop(home):
    for preset, folder in {"laptop": ".", "smoke": "smoke", "paper": "paper"}.items():
        picture = save_figure(a_figure(), "a", parameters={"preset": preset}, numbers={})
        assert picture == home / "figures" / folder / "a.png"


def test_figures_and_copies_of_smoke_say_that_they_show_nothing(folder, home):
    draw = DRAW.replace('"scale": scale,', '"preset": preset, "scale": scale,')
    draw += 'print(len(fig.texts))\nsave_figure(fig, "again", parameters={"preset": preset}, numbers={})\n'
    draw += "print(len(fig.texts))"
    write_notebook(folder / "a.ipynb", PARAMETERS, draw)
    copies = {}
    for preset in ("smoke", "laptop"):
        run_notebook("a", {"preset": preset})
        copies[preset] = nbformat.read(executed_copy("a", {"preset": preset}), as_version=4).cells
    said = {
        preset: "".join(output.get("text", "") for output in cells[-1].outputs).split()
        for preset, cells in copies.items()
    }
    assert said == {"smoke": ["1", "1"], "laptop": ["0", "0"]}  # once across a figure that is saved twice
    assert (home / "figures" / "smoke" / "line.png").read_bytes() != (home / "figures" / "line.png").read_bytes()
    banners = {preset: notebooks.BANNER in [cell.source for cell in cells] for preset, cells in copies.items()}
    assert banners == {"smoke": True, "laptop": False}


def test_a_commit_that_changes_nothing_else_keeps_the_earlier_name(home, monkeypatch):
    def commit_of(numbers, commit):
        monkeypatch.setattr(figures, "commit", lambda: commit)
        picture = save_figure(a_figure(), "a", parameters={}, numbers=numbers)
        return read_json(picture.with_suffix(".json"))["commit"]

    assert commit_of({"y": 1}, "first") == "first"
    assert commit_of({"y": 1}, "second") == "first"
    assert commit_of({"y": 2}, "third") == "third"


def test_committed_pictures_are_those_of_their_sidecars():
    root = paths.checkout()
    assert root is not None
    for path in (root / "figures").glob("*.json"):
        assert sha256(path.with_suffix(".png")) == read_json(path)["picture"], path


def test_every_picture_and_link_of_the_pages_is_there():
    root = paths.checkout()
    assert root is not None
    for page in (root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").glob("*.md")):
        links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if "://" not in link]
        assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == [], page


@pytest.mark.filterwarnings("error")
def test_the_style_is_read_without_a_warning():
    with plt.style.context(paths.style_file()):
        assert plt.rcParams["figure.constrained_layout.use"]
