"""Figures: notebooks run headlessly by papermill, and pictures saved with the numbers that they show.

papermill lets a mistyped parameter pass with a warning, so names and types are checked before it starts. The kernel
is always this interpreter, whatever kernels are installed. While a notebook runs, its figures wait in a staging
folder; they reach `figures/` only when the whole notebook went through. A notebook is skipped while its source, its
parameters, the package, the runs that it read and the files that it wrote are what they were.
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
from evor_eqx.reports.figures import STAGE, figure_folder, save_figure
from evor_eqx.reports.parameters import check_parameters, did_you_mean, parameters_cell, parse_parameters
from evor_eqx.runs.provenance import plain, versions
from evor_eqx.system import paths
from evor_eqx.system.env_vars import environment_variables
from evor_eqx.system.files import read_json, replacing, sha256, short_hash, write_json
from evor_eqx.system.locks import lease
from evor_eqx.system.progress import is_quiet

__all__ = [
    "FigureError",
    "check_parameters",
    "executed_copy",
    "find_notebook",
    "notebooks",
    "parse_parameters",
    "run_all",
    "run_notebook",
    "save_figure",
]

NUM_ATTEMPTS = 3  # for kernels that are lost, mostly to another kernel that took their port; never for a cell's error


class FigureError(Exception):
    """A notebook did not run to its end; the message names the notebook, the cell, the error and the partial copy."""


class _ThisPython(AsyncKernelManager):
    """Starts kernels of this interpreter: with no folders to search, that is what `python3` means."""

    @default("kernel_spec_manager")
    def _no_installed_kernels(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])

    @default("transport_encryption")
    def _private_if_possible(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
        """The kernel's own stderr holds what it says about its shutdown; that of the cells does not come this way."""
        await super()._async_launch_kernel(kernel_cmd, stderr=subprocess.DEVNULL, **options)


def notebooks() -> dict[str, Path]:
    """The notebooks that take parameters (those with a cell tagged `parameters`), by name."""
    return {path.stem: path for path in sorted(paths.notebooks_dir().rglob("*.ipynb")) if parameters_cell(path)}


def find_notebook(name: str) -> Path:
    """The notebook of this name; UserError with the known names if there is none."""
    known = notebooks()
    if name not in known:
        raise UserError(
            f"no notebook {name!r}{did_you_mean(name, known)}; expected one of: {', '.join(known) or 'none'}"
        )
    return known[name]


def executed_copy(name: str, parameters: Mapping[str, Any]) -> Path:
    """Where the executed copy of a notebook lies, its outputs inside: each preset has its own."""
    return paths.runs_dir() / "notebooks" / figure_folder(parameters) / f"{name}.ipynb"


def run_notebook(name: str, parameters: Mapping[str, Any]) -> list[Path]:
    """Run a notebook with the given parameters; return the files that it wrote into the figures folder.

    Its executed copy stays, also when a cell fails. Of two processes that run it at one preset, one waits for the
    other. Raises UserError for parameters that do not fit and FigureError if the notebook fails; the figures of before
    are then untouched.
    """
    notebook = find_notebook(name)
    check_parameters(notebook, parameters)
    copy = executed_copy(name, parameters)
    bar = {"desc": name, "disable": is_quiet() or None}
    with lease(copy):
        for leftover in copy.parent.glob(f".{name}.*"):  # of a run that was killed
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=copy.parent) as stage:
            with environment_variables(
                {"EVOR_HOME": str(paths.home()), STAGE: stage, "MPLBACKEND": None, "EVOR_QUIET": "1"}
            ):
                _execute(notebook, parameters, copy.resolve(), bar)
            written = sorted(path for path in Path(stage).rglob("*") if path.is_file())
            return [_publish(path, paths.figures_dir() / path.relative_to(stage)) for path in written]


def run_all(names: Iterable[str] = (), parameters: Mapping[str, Any] | None = None, *, force: bool = False) -> int:
    """Run the notebooks of these names (default: all), skipping what has not changed unless `force`.

    One that fails does not stop the others. Prints a line for each; returns the exit code, 1 if any failed.
    Raises UserError before anything runs if a name or a parameter is wrong.
    """
    parameters = dict(parameters or {})
    chosen = [find_notebook(name) for name in names] or list(notebooks().values())
    for notebook in chosen:
        check_parameters(notebook, parameters)
    failures = [failure for notebook in chosen if (failure := _run_if_changed(notebook, parameters, force))]
    for failure in failures:
        print(f"FAILED {failure}")
    return 1 if failures else 0


def _execute(notebook: Path, parameters: Mapping[str, Any], copy: Path, bar: Any) -> None:
    """Run in the notebook's folder, again if the kernel is lost."""
    problem = ""
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
                kernel_manager_class=_ThisPython,
            )
            return
        except PapermillExecutionError as error:
            message = f"{error.ename}: {error.evalue}".splitlines()[0]
            raise FigureError(f"{notebook.stem}, cell [{error.exec_count}]: {message} (see {copy})") from None
        except (RuntimeError, zmq.ZMQError) as error:
            problem = str(error)
    raise FigureError(f"{notebook.stem}: kernel lost {NUM_ATTEMPTS} times, last by: {problem} (see {copy})")


def _publish(staged: Path, published: Path) -> Path:
    with replacing(published) as temporary:
        shutil.copyfile(staged, temporary)
    return published


def _run_if_changed(notebook: Path, parameters: Mapping[str, Any], force: bool) -> str | None:
    """Run unless its stamp still holds; the failure's message, or None."""
    name, copy, key = notebook.stem, executed_copy(notebook.stem, parameters), _key(notebook, parameters)
    stamp = copy.with_suffix(".json")
    with lease(stamp):
        if not force and stamp.exists() and _stamp(key, copy, read_json(stamp)["figures"]) == read_json(stamp):
            print(f"{name}: unchanged, skipped (--force draws it again)")
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
    """What must stay for a notebook to be skipped: its inputs (`key`), its executed copy and what else it wrote, the
    runs and records it read."""
    written = [paths.figures_dir() / name for name in figures]
    sidecars = [read_json(path) for path in written if path.suffix == ".json" and path.exists()]
    read = {name: paths.runs_dir() / name / "manifest.json" for sidecar in sidecars for name in sidecar["runs"]}
    records = {sidecar["parameters"].get("record") for sidecar in sidecars} - {None}
    read |= {name: paths.figures_dir() / name for name in records}
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
    kinds = (".py", ".mplstyle", ".json")  # of the shipped agents, with the checksums of their weights and rows
    sources = [path for path in sorted(package.rglob("*")) if path.suffix in kinds]
    code = [[str(path.relative_to(package)), sha256(path)] for path in sources]
    return short_hash([cells, plain(parameters), code, versions()])
