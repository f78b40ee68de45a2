"""`evor study`: the plan of a study for the Snakemake workflow."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Study:
    """Write a study's YAML, which the Snakemake workflow runs on this machine or on a cluster, and print its plan."""

    name: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]
    """full (25 tasks, all methods), seeds (a task of each dataset, three seeds) or small (two by two)."""
    to: Path | None = None
    """The file to write; <name>.yaml in the current folder if not given."""

    def run(self) -> int:
        """Write the study's YAML and print the plan."""
        from evor_eqx.suite.workflow import STUDIES, write_study

        path = write_study(self.name, self.to or Path(f"{self.name}.yaml"))
        print(STUDIES[self.name].plan(path))
        return 0
