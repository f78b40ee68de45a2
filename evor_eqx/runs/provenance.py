"""The origin of a figure's numbers, as JSON for its sidecar: runs, datasets, library versions and the commit."""

import math
import platform
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evor_eqx.runs.run import LIBRARIES, Run
from evor_eqx.system import paths


def origins(runs: Iterable[Run]) -> dict[str, Any]:
    """The runs with their seeds, the datasets of the runs, and the versions."""
    facts = {run.name: {**run.manifest, **run.config} for run in runs}
    return {
        "runs": {name: fact.get("seed") for name, fact in facts.items()},
        "datasets": data_origins(fact for fact in facts.values() if "fingerprint" in fact),
        "versions": versions(),
    }


def data_origins(facts: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The origin and fingerprint of each dataset, as `data_origin` writes them; several are joined by commas."""
    found: dict[str, dict[str, None]] = {}  # ordered sets
    for fact in facts:
        found.setdefault(fact["dataset"], {})[data_origin(fact)] = None
    return {name: ", ".join(of_one) for name, of_one in found.items()}


def data_origin(facts: Mapping[str, Any]) -> str:
    """Origin and fingerprint of a dataset, e.g. `generated:1a2b3c4d`."""
    return f"{facts.get('origin', 'unknown')}:{facts['fingerprint']}"


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a figure depends on."""
    return {name: version(name) for name in (*LIBRARIES, "matplotlib")} | {"python": platform.python_version()}


def commit() -> str | None:
    """The commit of the checkout, with `-dirty` if its sources have changed since; None outside a git checkout."""
    root = paths.checkout()
    if root is None or not (root / ".git").exists() or not shutil.which("git"):
        return None
    sources = ("evor_eqx", "notebooks", "pyproject.toml", "requirements.lock")
    head, changes = _git(root, "rev-parse", "--verify", "HEAD"), _git(root, "status", "--porcelain", "--", *sources)
    return f"{head}-dirty" if head and changes else head or None


def plain(value: Any) -> Any:
    """Convert to JSON values: arrays become lists, floats keep six digits, non-finite floats become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True).stdout.strip()
