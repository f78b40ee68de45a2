"""Running notebooks with papermill, without a browser, to draw their figures.

papermill only warns of a mistyped parameter, so names and types are checked before it starts. The kernel is always this
interpreter, whatever kernels are installed. While a notebook runs, its figures are written to a staging folder. They
are copied to `figures/` after the whole notebook has run. A notebook is skipped if its source, its parameters, the
package, the runs that it read and the files that it wrote are all unchanged.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import zmq
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook
from traitlets import default

from evor_eqx.errors import UserError
from evor_eqx.reports.figures import STAGE, figure_folder
from evor_eqx.reports.parameters import check_parameters, did_you_mean, parameters_cell
from evor_eqx.runs.provenance import plain, versions
from evor_eqx.system import paths
from evor_eqx.system.env_vars import compiled_programs, environment_with
from evor_eqx.system.files import check_folder, replacing, sha256, short_hash
from evor_eqx.system.json_records import read_json, write_json
from evor_eqx.system.locks import lock
from evor_eqx.system.progress import is_quiet, note

BANNER = (
    "> This notebook ran at the preset `smoke`, which only shows that everything runs. Its numbers mean nothing, and "
    "what the text says of them need not hold."
)
NUM_ATTEMPTS = 2  # if a kernel is lost, e.g. because another took its port; a cell's error is not retried


class FigureError(Exception):
    """A notebook failed. The message names the notebook, the cell, the error and the partly executed copy."""


class _ThisPython(AsyncKernelManager):
    """Starts kernels of this interpreter: without folders to search, `python3` means this one."""

    environment: Mapping[str, str]  # all variables of the kernel

    @default("kernel_spec_manager")
    def _no_installed_kernels(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])

    @default("transport_encryption")
    def _private_if_possible(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        """Start without the kernel's stderr: it only has messages about shutdown, and nothing from the cells."""
        await super()._async_launch_kernel(kernel_cmd, stderr=subprocess.DEVNULL, **options)

    async def start_kernel(self, **options: Any) -> None:
        """Start with `environment`."""
        await super().start_kernel(env=dict(self.environment), **options)


def notebooks() -> dict[str, Path]:
    """The notebooks with a cell tagged `parameters`, by name."""
    found = sorted(paths.notebooks_dir().rglob("*.ipynb"))
    return {path.stem: path for path in found if not path.name.startswith(".") and _has_parameters(path)}


def _has_parameters(path: Path) -> bool:
    try:
        return parameters_cell(path) is not None
    except UserError as error:
        note(f"{error}; it is left out")
        return False


def find_notebook(name: str) -> Path:
    """The path of a notebook by its name. Raises UserError with the known names if there is none."""
    known = notebooks()
    if name not in known:
        raise UserError(
            f"no notebook {name!r}{did_you_mean(name, known)}; expected one of: {', '.join(known) or 'none'}"
        )
    return known[name]


def executed_copy(name: str, parameters: Mapping[str, Any]) -> Path:
    """The path of a notebook's executed copy, with outputs; there is one for each preset."""
    return paths.runs_dir() / "notebooks" / figure_folder(parameters) / f"{name}.ipynb"


def run_notebook(name: str, parameters: Mapping[str, Any]) -> list[Path]:
    """Run a notebook with the given parameters; return the files that it wrote into the figures folder.

    The executed copy is kept, even if a cell fails. If two processes run the notebook with the same preset, one waits
    for the other.

    **Raises:**

    UserError for parameters that do not fit. FigureError if the notebook fails; earlier figures are then unchanged.
    """
    notebook = find_notebook(name)
    check_parameters(notebook, parameters)
    copy = executed_copy(name, parameters)
    bar = {"desc": name, "disable": is_quiet() or None}
    with lock(copy):
        for leftover in copy.parent.glob(f".{name}.*"):  # from a killed process
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=copy.parent) as stage:
            kernel = {"EVOR_HOME": str(paths.home()), STAGE: stage, "MPLBACKEND": None, "EVOR_QUIET": "1"}
            kernel["MATPLOTLIBRC"] = str(Path(__file__).parent.parent / "evor.mplstyle")  # not the user's own style
            kernel |= compiled_programs(paths.compiled_dir())
            _execute(notebook, parameters, copy.resolve(), bar, kernel)
            if parameters.get("preset") == "smoke":
                _add_banner(copy)
            written = sorted(path for path in Path(stage).rglob("*") if path.is_file())
            return [_publish(path, paths.figures_dir() / path.relative_to(stage)) for path in written]


def run_all(names: Iterable[str] = (), parameters: Mapping[str, Any] | None = None, *, force: bool = False) -> int:
    """Run the notebooks of these names, or all; print a line for each. Returns 1 if one failed, else 0.

    Unchanged notebooks are skipped, unless `force`. A notebook that fails does not stop the others. Raises UserError
    for a wrong name or parameter, before any notebook runs.
    """
    parameters = dict(parameters or {})
    chosen = chosen_notebooks(names, parameters)
    check_folder(paths.figures_dir() / figure_folder(parameters), "figures")
    failures = [failure for notebook in chosen if (failure := _run_if_changed(notebook, parameters, force))]
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


def chosen_notebooks(names: Iterable[str], parameters: Mapping[str, Any]) -> list[Path]:
    """The notebooks of these names, or all. Raises UserError for a wrong name, or a parameter that one has not."""
    chosen = [find_notebook(name) for name in names] or list(notebooks().values())
    for notebook in chosen:
        check_parameters(notebook, parameters)
    return chosen


def _execute(
    notebook: Path, parameters: Mapping[str, Any], copy: Path, bar: Any, variables: Mapping[str, str | None]
) -> None:
    """Run in the notebook's folder, with these variables; try again if the kernel is lost."""
    problem, manager = "", type("_ThisPythonNow", (_ThisPython,), {"environment": environment_with(variables)})
    for _ in range(NUM_ATTEMPTS):
        try:
            execute_notebook(
                notebook,
                copy,
                parameters=dict(parameters),
                kernel_name="python3",
                language="python",
                cwd=notebook.parent,
                progress_bar=bar,
                kernel_manager_class=manager,
            )
            return
        except PapermillExecutionError as error:
            message = f"{error.ename}: {error.evalue}".splitlines()[0]
            raise FigureError(f"{notebook.stem}, cell [{error.exec_count}]: {message} (see {copy})") from None
        except (RuntimeError, zmq.ZMQError) as error:
            problem = str(error)
    raise FigureError(
        f"{notebook.stem}: its kernel was lost {NUM_ATTEMPTS} times, at last with: {problem} (see {copy}). Mostly it "
        "was killed, because memory ran out: close other programs, or choose a smaller preset"
    )


def _add_banner(copy: Path) -> None:
    """Say below the title of an executed copy that its numbers mean nothing."""
    notebook = nbformat.read(copy, as_version=4)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(BANNER, id="banner"))
    nbformat.write(notebook, copy)


def _publish(staged: Path, published: Path) -> Path:
    with replacing(published) as temporary:
        shutil.copyfile(staged, temporary)
    return published


def _run_if_changed(notebook: Path, parameters: Mapping[str, Any], force: bool) -> str | None:
    """Run a notebook if its stamp has changed; return the message of a failure, or None."""
    name, copy, key = notebook.stem, executed_copy(notebook.stem, parameters), _key(notebook, parameters)
    stamp = copy.with_suffix(".json")
    with lock(stamp):
        if not force and stamp.exists() and _stamp(key, copy, read_json(stamp)["figures"]) == read_json(stamp):
            print(f"{name}: unchanged, skipped (use --force to draw it again)")
            return None
        stamp.unlink(missing_ok=True)
        started = time.perf_counter()
        try:
            written = run_notebook(name, parameters)
        except FigureError as error:
            return str(error)
        write_json(stamp, _stamp(key, copy, [str(path.relative_to(paths.figures_dir())) for path in written]))
    print(f"{name}: {len(written)} files in {time.perf_counter() - started:.1f} s")
    return None


def _stamp(key: str, copy: Path, figures: Iterable[str]) -> dict[str, Any]:
    """What must be unchanged to skip a notebook: inputs (`key`), executed copy, figures, runs and results read."""
    written = [paths.figures_dir() / name for name in figures]
    sidecars = [read_json(path) for path in written if path.suffix == ".json" and path.exists()]
    read = {name: paths.runs_dir() / name / "manifest.json" for sidecar in sidecars for name in sidecar["runs"]}
    results = {sidecar["parameters"].get("results") for sidecar in sidecars} - {None}
    read |= {name: paths.figures_dir() / name for name in results}
    return {
        "key": key,
        "copy": _digest(copy),
        "figures": {str(path.relative_to(paths.figures_dir())): _digest(path) for path in written},
        "read": {name: _digest(path) for name, path in read.items()},
    }


def _digest(path: Path) -> str:
    return sha256(path) if path.exists() else ""


def _key(notebook: Path, parameters: Mapping[str, Any]) -> str:
    cells = [[cell.source, cell.metadata.get("tags")] for cell in nbformat.read(notebook, as_version=4).cells]
    package = Path(__file__).parent.parent
    kinds = (".py", ".mplstyle", ".json")  # .json: the shipped agents, with checksums of their weights and rows
    sources = [path for path in sorted(package.rglob("*")) if path.suffix in kinds and "node_modules" not in path.parts]
    code = [[str(path.relative_to(package)), sha256(path)] for path in sources]
    return short_hash([cells, plain(parameters), code, versions()])
