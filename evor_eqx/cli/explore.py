"""`evor explore`: JupyterLab, opened at the explorer."""

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from evor_eqx.errors import UserError
from evor_eqx.system.checked import Checked, within


@dataclass(frozen=True)
class Explore(Checked):
    """Open JupyterLab at the explorer, for this machine only and with a token. Choose Run, Run All Cells there."""

    port: int = within(1, 65_535, 8888)
    """The port of the server, 1 to 65535; the next free one if it is taken."""
    browser: bool = True
    """Whether to open a browser."""

    def run(self) -> int:
        """Start the server in place of this process. An installed package first puts its notebooks into the home."""
        from evor_eqx.system import paths
        from evor_eqx.system.env_vars import compiled_programs

        if importlib.util.find_spec("jupyterlab") is None:
            raise UserError(
                "JupyterLab: got no package jupyterlab, expected it for the explorer; pip install 'evor_eqx[notebooks]'"
            )
        folder = paths.notebooks_dir() if paths.checkout() else _own_copies(paths.notebooks_dir(), paths.home())
        os.environ.update({name: value for name, value in compiled_programs(paths.compiled_dir()).items() if value})
        os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *self._options(folder)])

    def _options(self, folder: Path) -> list[str]:
        options = [f"--notebook-dir={folder}", "--LabApp.default_url=/lab/tree/explorer.ipynb", f"--port={self.port}"]
        options += [] if self.browser else ["--no-browser"]
        return options + (["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])


def _own_copies(notebooks: Path, home: Path) -> Path:
    """Copies of the package's notebooks in the home folder; those that are there already may have been edited."""
    for path in notebooks.rglob("*.ipynb"):
        copy = home / "notebooks" / path.relative_to(notebooks)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return home / "notebooks"
