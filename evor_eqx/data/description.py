"""What a dataset holds, in one table: for the command line as text, for a notebook as HTML."""

import html
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.pieces import first_rows
from evor_eqx.data.returns import known_rows, steps_to_know
from evor_eqx.envs.ogbench import MazeLayout


@dataclass(frozen=True)
class Description:
    """A table with a row for each fact and a column for each split."""

    title: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]  # one text for each column, or a single one for all

    def __str__(self) -> str:
        """Plain text in aligned columns."""
        width = max(map(len, self.rows))
        of_columns = [texts for texts in self.rows.values() if len(texts) == len(self.columns)]
        widths = [max(map(len, column)) for column in zip(self.columns, *of_columns, strict=True)]
        lines = [f"{self.title:{width}}  " + "  ".join(map(str.ljust, self.columns, widths)).rstrip()]
        for name, texts in self.rows.items():
            lines.append(f"{name:{width}}  " + "  ".join(map(str.ljust, texts, widths)).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """The same table in HTML."""

        def row(tag: str, name: str, texts: tuple[str, ...]) -> str:
            span = f" colspan={len(self.columns)}" if len(texts) < len(self.columns) else ""
            cells = "".join(f"<{tag}{span} style='text-align: left'>{html.escape(text)}</{tag}>" for text in texts)
            return f"<tr><th scope=row style='text-align: left'>{html.escape(name)}</th>{cells}</tr>"

        body = "".join(row("td", name, texts) for name, texts in self.rows.items())
        return f"<table><thead>{row('th', self.title, self.columns)}</thead><tbody>{body}</tbody></table>"


def describe_splits(
    splits: Mapping[str, OfflineDataset],
    title: str,
    facts: Mapping[str, str],
    gamma: float | None = None,
    layout: MazeLayout | None = None,
) -> Description:
    """The table of some splits of one dataset.

    **Arguments:**

    - `splits`: the datasets, by the heads of their columns.
    - `title`: stands above the names of the rows.
    - `facts`: what holds for all splits.
    - `gamma`: the discount per step. With it, the table also says how many returns are known.
    - `layout`: the maze of the data, if there is one. With it, the table also says how fast they go, and where.
    """
    columns = [_facts_of(each) | (_maze_facts(each, layout) if layout else {}) for each in splits.values()]
    rows = {name: tuple(column[name] for column in columns) for name in columns[0]}
    common = {name: (text,) for name, text in facts.items()}
    if gamma is not None:
        rows["steps with a known return"] = tuple(f"{len(known_rows(each, gamma)):,}" for each in splits.values())
        needed = f"if {steps_to_know(gamma):,} more steps are recorded, or if the task ended all episodes"
        common = {"discount": (f"{gamma:g} per step",), "a return is known": (needed,), **common}
    return Description(title, tuple(splits), rows | common)


def _facts_of(dataset: OfflineDataset) -> dict[str, str]:
    ends = np.unique(dataset.last_row)
    lengths = np.diff(ends, prepend=-1) - 1  # transitions of each episode
    returns = np.add.reduceat(np.where(_starts(dataset), dataset.reward, 0.0), first_rows(dataset))
    ended = np.zeros(len(ends), bool) if dataset.ended is None else dataset.ended[ends]
    quartiles = np.quantile(returns, (0, 0.25, 0.5, 0.75, 1))
    return {
        "episodes": f"{len(ends):,}",
        "steps": f"{len(dataset.transitions):,}",
        "steps of an episode": f"{lengths.min():,} to {lengths.max():,}, median {np.median(lengths):g}",
        "ended by the task": f"{ended.sum():,}; {(~ended).sum():,} were cut",
        "size of an observation": f"{dataset.obs.shape[1]}",
        "size of an action": f"{dataset.act.shape[1]}",
        "actions": _ranges(dataset.act),
        "rewards": _ranges(dataset.reward[dataset.transitions, None]),
        "return of an episode, undiscounted": "{:.4g} to {:.4g}, quartiles {:.4g}, {:.4g}, {:.4g}".format(
            *(quartiles[place] for place in (0, 4, 1, 2, 3))
        ),
    }


def _maze_facts(dataset: OfflineDataset, layout: MazeLayout) -> dict[str, str]:
    places = dataset.obs[:, :2]
    ways = np.linalg.norm(np.diff(places, axis=0), axis=1)[_starts(dataset)[:-1]]
    visited, num_free = len(np.unique(layout.cells_of(places), axis=0)), int((layout.walls == 0).sum())
    return {
        "speed": f"median {np.median(ways) / layout.seconds:.2f} m/s",
        "free cells of the maze that are visited": f"{visited} of {num_free}",
    }


def _starts(dataset: OfflineDataset) -> np.ndarray:
    return np.arange(len(dataset.obs)) < dataset.last_row


def _ranges(values: np.ndarray) -> str:
    """The range of each coordinate, or of all together if there are more than four."""
    values = values if values.shape[1] <= 4 else values.reshape(-1, 1)
    return ", ".join(f"{low:.4g} to {high:.4g}" for low, high in zip(values.min(0), values.max(0), strict=True))
