"""Saving figures together with the numbers that they show."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from evor_eqx.runs.provenance import commit, origins, plain
from evor_eqx.runs.run import Run
from evor_eqx.system import paths
from evor_eqx.system.files import replacing, sha256
from evor_eqx.system.json_records import read_json, write_json

DPI = 110  # of the PNG: sharp enough for the README, small enough to commit
_MARK = "preset"  # names the text across a figure of the preset `smoke`
STAGE = "EVOR_FIGURES_STAGE"  # environment variable that gives a kernel its staging folder


def save_figure(
    fig: Figure,
    name: str,
    *,
    parameters: Mapping[str, Any],
    numbers: Mapping[str, Any],
    runs: Iterable[Run] = (),
    datasets: Mapping[str, str] | None = None,
) -> Path:
    """Write `<name>.png`, `.pdf` and a `.json` sidecar into the figures folder; return the PNG's path.

    A figure of the preset `smoke` is marked first, in the notebook too.

    The sidecar also holds seeds, versions and the commit. The same input gives the same bytes: no dates are written,
    and if only the commit differs from the earlier sidecar, the earlier commit is kept.

    **Arguments:**

    - `fig`, `name`: the figure, and its file name without suffix.
    - `parameters`: the notebook's parameters. A `preset` other than `laptop` names a subfolder for the files.
    - `numbers`: the drawn arrays and scalars by name, kept to six digits.
    - `runs`: the runs that the numbers come from.
    - `datasets`: fingerprints of further datasets, by name; those of the runs are added.
    """
    if parameters.get("preset") == "smoke":
        _mark(fig)
    subfolder = figure_folder(parameters)
    folder = Path(os.environ.get(STAGE) or paths.figures_dir()) / subfolder
    for suffix, metadata in {".png": {"Software": None}, ".pdf": {"CreationDate": None}}.items():
        with replacing(folder / (name + suffix)) as temporary:
            fig.savefig(temporary, dpi=DPI, metadata=metadata)
    picture = folder / f"{name}.png"
    sidecar = plain({"picture": sha256(picture), "parameters": parameters, "numbers": numbers, **origins(runs)})
    sidecar["datasets"] |= datasets or {}
    write_json(folder / f"{name}.json", _with_commit(sidecar, paths.figures_dir() / subfolder / f"{name}.json"))
    return picture


def figure_folder(parameters: Mapping[str, Any]) -> str:
    """The subfolder for a preset's pictures: none for `laptop`, so that other presets never replace its pictures."""
    preset = str(parameters.get("preset", "laptop"))
    return "" if preset == "laptop" else preset


def _mark(fig: Figure) -> None:
    """Write across a figure, once, that it shows nothing."""
    if not any(text.get_gid() == _MARK for text in fig.texts):
        place = {"x": 0.5, "y": 0.5, "ha": "center", "va": "center", "rotation": 20}
        fig.text(s="smoke: no result", gid=_MARK, fontsize=34, color="#B00020", alpha=0.3, zorder=100, **place)


def _with_commit(sidecar: dict[str, Any], earlier: Path) -> dict[str, Any]:
    """Add the commit. If nothing else differs from the earlier sidecar, keep the earlier commit."""
    if earlier.exists() and {**sidecar, "commit": (before := read_json(earlier)).get("commit")} == before:
        return before
    return {**sidecar, "commit": commit()}
