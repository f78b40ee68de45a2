"""`evor study`: the plan of a study for the Snakemake workflow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


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

    def run(self) -> int:
        """Write the study's YAML and print the plan."""
        from evor_eqx.suite.workflow import named_study, write_study

        changes = {name: getattr(self, name) for name in ("tasks", "methods", "seeds", "preset")}
        study = named_study(self.name, **changes)
        print(study.plan(write_study(study, self.to or Path(f"{self.name}.yaml"))))
        return 0
