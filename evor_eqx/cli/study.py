"""`evor study`: the plan of a study for the Snakemake workflow."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from evor_eqx.system.files import check_writable

if TYPE_CHECKING:
    from evor_eqx.suite import workflow


@dataclass(frozen=True)
class Study:
    """Write a study's YAML, which the Snakemake workflow runs on this machine or on a cluster, and print its plan."""

    name: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]
    """full (25 tasks, all methods), seeds (a task of each dataset, three seeds), small (two by two), or a new name with
    --tasks."""
    tasks: tuple[str, ...] = ()
    """Tasks, datasets or FILE:NAME, a task of your own; those of the named study if not given."""
    methods: tuple[str, ...] = ()
    """Methods; those of the named study, or all, if not given."""
    seeds: tuple[int, ...] = ()
    """Seeds; those of the named study, or 0, if not given."""
    preset: str = ""
    """How much to train: smoke, laptop or paper; as the named study, or laptop, if not given."""
    to: Path | None = None
    """The file to write; <name>.yaml in the current folder if not given."""

    def check(self) -> None:
        """Raise UserError for unknown names, and for a file that cannot be written."""
        self._study  # noqa: B018  it raises
        check_writable(self._file, "to")

    @property
    def _file(self) -> Path:
        return self.to or Path(f"{self.name}.yaml")

    @cached_property
    def _study(self) -> "workflow.Study":
        from evor_eqx.suite import workflow

        changes = {name: getattr(self, name) for name in ("tasks", "methods", "seeds", "preset")}
        return workflow.named_study(self.name, **changes)

    def run(self) -> int:
        """Write the study's YAML and print the plan."""
        from evor_eqx.suite.workflow import write_study

        print(self._study.plan(write_study(self._study, self._file)))
        return 0
