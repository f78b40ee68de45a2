"""Every agent that can be opened here: those of the package, packed ones, and those of this home folder's runs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from evor_eqx.agent.saving import RECORD, read_record
from evor_eqx.envs.tasks import Task, parse_task
from evor_eqx.errors import UserError
from evor_eqx.pipeline.loading import load_run_agent
from evor_eqx.runs.run import Run, all_runs
from evor_eqx.system import paths
from evor_eqx.system.progress import note
from evor_eqx.zoo.exhibits import Exhibit, open_exhibit


class Listed(NamedTuple):
    """An agent that can be opened, by name."""

    task: Task
    label: str
    open: Callable[[], Exhibit]


def catalogue() -> list[Listed]:
    """The agents of the package, the packed ones in the home folder's `agents/`, however deep, and those of its runs.

    A run that is not finished is listed, too; opening it raises a UserError that says so. One whose record cannot be
    read is left out, and a note names the file.
    """
    shipped = sorted(paths.shipped_dir().glob(f"*/{RECORD}"), reverse=True)  # a maze first: it is easiest to read
    others = sorted(paths.agents_dir().rglob(RECORD))
    labels = ["shipped with the package"] * len(shipped)
    labels += [f"packed: {path.parent.relative_to(paths.agents_dir())}" for path in others]
    packed = [
        Listed(task, label, partial(open_exhibit, path.parent))
        for path, label in zip(shipped + others, labels, strict=True)
        if (task := _task_in(path))
    ]
    runs = [run for run in all_runs() if run.path.name.startswith("critic-")]
    return packed + [
        Listed(task, run.path.name, partial(open_run, run))
        for run in runs
        if (task := _task_in(run.path / "config.json"))
    ]


def open_run(run: Run) -> Exhibit:
    """The agent of a critic's run. Raises UserError if it is not finished, or if its policy or data are gone."""
    agent = load_run_agent(run)
    return Exhibit.of(agent, parse_task(run.config["task"]), run.name)


def _task_in(path: Path) -> Task | None:
    """The task that a record is about; None if it is about none (a critic of a tabular process), or cannot be read.

    Also None for a task of your own, which a name does not bring back: `explore(agent, task)` opens it.
    """
    try:
        record = read_record(path) if path.name == RECORD else Run(path.parent).config
        record = record.get("facts", record)
        return parse_task(record["task"]) if "task" in record and record.get("origin") != "own" else None
    except UserError as error:
        note(f"left out: {error}")
        return None
