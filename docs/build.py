"""The documentation as web pages that need no network: `make docs`.

The notebooks of the course and the live ones are executed first; unchanged ones are skipped. Then the sources are put
together in `.cache/docs/source`, with the same relative paths as in the checkout, so that links work in both. Sphinx
builds them into `site/`. A warning, such as a broken link, is an error.

Sphinx was chosen over MkDocs by a trial with the same pages. Both took seconds and showed notebooks and docstrings.
Sphinx needs no script from a server for maths here, checks links by itself, and its parts for notebooks are maintained.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
import tyro
from links import faults

from evor_eqx.cli.main import COMMANDS
from evor_eqx.cli.main import main as evor
from evor_eqx.reports.alternatives import with_alternatives
from evor_eqx.reports.course import contents, lessons
from evor_eqx.reports.notebooks import executed_copy, find_notebook, run_all
from evor_eqx.reports.site import build, synchronise

ROOT = Path(__file__).parent.parent
DOCS_PAGE = re.compile(r"`(docs/[\w/]+\.md)`")
AFTERWORD = "Then: [what to try next](../../docs/next_steps.md), five first projects of your own.\n"
LIVE = ("explorer", "rollouts", "training_live")
SOURCE, PAGES = ROOT / ".cache" / "docs" / "source", ROOT / "site"


def run(preset: str = "smoke") -> int:
    """Execute the notebooks at a preset and build the pages. Returns 1 if a notebook failed or Sphinx warned."""
    names = [*lessons(), *LIVE]
    if run_all(names, {"preset": preset}):
        return 1
    synchronise(sources(names, preset), SOURCE)
    if build(SOURCE, PAGES):
        return 1
    broken = sorted(faults(PAGES))
    print("\n".join(broken) or PAGES / "index.html")
    return int(bool(broken))


def sources(names: list[str], preset: str) -> dict[str, Path | str]:
    """All files that Sphinx reads, by their paths."""
    texts = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("figures/*.png"), ROOT / "docs" / "conf.py"]
    texts += [*ROOT.glob("notebooks/*.md"), *ROOT.glob("figures/results/*.md")]
    found: dict[str, Path | str] = {str(path.relative_to(ROOT)): path for path in texts}
    found["conf.py"] = found.pop("docs/conf.py")
    found["index.md"] = "\n".join(Path(ROOT, name).read_text() for name in ("README.md", "docs/contents.md"))
    for name in ("README.md", "docs/contents.md"):
        del found[name]
    found["docs/command_line.md"] = command_line()
    found |= {f"pages/live/{page}.html": exported(page) for page in ("explorer", "rollout")}
    found["notebooks/course/index.md"] = contents(list(lessons())) + AFTERWORD
    for name in names:
        place = find_notebook(name).relative_to(ROOT)
        copy = with_alternatives(executed_copy(name, {"preset": preset}).read_text())
        found[str(place)] = with_links(copy, "../" * (len(place.parts) - 1))
    return found


def with_links(notebook: str, root: str) -> str:
    """A notebook in which the names of pages, such as `docs/method.md`, are links.

    In the notebook itself they are none, because it may be opened where there are no pages: in JupyterLab on the folder
    of notebooks, or in the pages of the course alone.
    """
    cells = nbformat.reads(notebook, as_version=4)
    for cell in cells.cells:
        if cell.cell_type == "markdown":
            cell.source = DOCS_PAGE.sub(rf"[\g<0>]({root}\1)", cell.source)
    return nbformat.writes(cells)


def exported(page: str) -> str:
    """A page that `evor export` writes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"{page}.html")
        if evor(["export", page, "--to", str(file)]):
            raise SystemExit(1)
        return file.read_text(encoding="utf-8")


def command_line() -> str:
    """The help of `evor` and of each of its commands, as a page."""
    parts = ["# The command line\n\n" + _help("--help")]
    parts += [f"## evor {name}\n\n" + _help(name, "--help") for name in COMMANDS]
    return "\n".join(parts)


def _help(*arguments: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        evor(list(arguments))
    return f"```text\n{said.getvalue().rstrip()}\n```\n"


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "100")
    sys.exit(tyro.cli(run))
