"""The numbers of committed figures, and the texts that say them."""

import json
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
MAZE_TASK = "pointmaze-medium-navigate-task1"


def text_of(path: Path) -> str:
    """The Markdown of a page, or of a notebook's cells, without line breaks."""
    if path.suffix == ".md":
        return " ".join(path.read_text().split())
    cells = nbformat.read(path, as_version=4).cells
    return " ".join(" ".join(cell.source for cell in cells if cell.cell_type == "markdown").split())


def numbers(figure: str) -> dict:
    return json.loads((ROOT / "figures" / f"{figure}.json").read_text())["numbers"]


def percent(share: float) -> str:
    return f"{100 * share:.0f}"
