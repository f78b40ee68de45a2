"""`evor pack`: a saved agent with held-out episodes."""

from dataclasses import dataclass
from pathlib import Path

from evor_eqx.cli.parsing import Experiment, TaskName
from evor_eqx.system import paths
from evor_eqx.system.files import check_folder


@dataclass(frozen=True)
class Pack(Experiment):
    """Save a task's agent with some held-out episodes in a small folder. It opens without a dataset and training."""

    task: TaskName
    """For example cube-single-play-task2."""
    to: Path | None = None
    """The folder to write into; agents/ in the home folder, where the explorer looks, if not given."""
    rows_only: bool = False
    """Only write the held-out episodes of the packed agent in that folder anew; nothing is trained."""

    def check(self) -> None:
        """Raise UserError for an unknown task, and for a folder that cannot be made."""
        from evor_eqx.envs.tasks import parse_task

        parse_task(self.task)
        check_folder(self._folder, "to")

    @property
    def _folder(self) -> Path:
        return self.to or paths.agents_dir()

    def run(self) -> int:
        """Print the agent's folder."""
        from evor_eqx.envs.tasks import parse_task
        from evor_eqx.zoo.exhibits import pack, packed_folder, repack

        task = parse_task(self.task)
        print(repack(packed_folder(self._folder, task)) if self.rows_only else pack(task, self.config, self._folder))
        return 0
