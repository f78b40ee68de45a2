"""`evor train`: a base policy and critics."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from evor_eqx.cli.parsing import Experiment


@dataclass(frozen=True)
class Train(Experiment):
    """Train what is missing: the base policy of a dataset, or also the critic of one of its tasks."""

    name: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="NAME")]]
    """A dataset (cube-single-play: base policy), a task (cube-single-play-task2: base policy and critic), or FILE:NAME
    (mine.py:swing), a task of your own."""
    all_tasks: bool = False
    """Train a multi-task critic: all tasks of the dataset in one run, on one encoder."""

    def check(self) -> None:
        """Raise UserError for an unknown dataset or task."""
        from evor_eqx.envs.tasks import parse_task

        parse_task(self.name)

    def run(self) -> int:
        """Print the run folder of what was trained last."""
        from evor_eqx.envs.tasks import is_task, parse_task
        from evor_eqx.pipeline import stages

        if self.all_tasks:
            trained: Any = stages.ensure_multitask_critic(parse_task(self.name), self.config)
        elif is_task(self.name):
            trained = stages.ensure_critic(parse_task(self.name), self.config)
        else:
            trained = stages.ensure_policy(parse_task(self.name), self.config)
        print(trained.run.path)
        return 0
