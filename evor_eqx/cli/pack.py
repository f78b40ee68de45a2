"""`evor pack`: a saved agent with held-out episodes."""

from dataclasses import dataclass
from pathlib import Path

from evor_eqx.cli.parsing import Experiment, TaskName


@dataclass(frozen=True)
class Pack(Experiment):
    """Save a task's agent with some held-out episodes in a small folder. It opens without a dataset and training."""

    task: TaskName
    """For example cube-single-play-task2."""
    to: Path | None = None
    """The folder to write into; agents/ in the home folder, where the explorer looks, if not given."""

    def run(self) -> int:
        """Print the agent's folder."""
        from evor_eqx.envs.tasks import parse_task
        from evor_eqx.system import paths
        from evor_eqx.zoo.exhibits import pack

        print(pack(parse_task(self.task), self.config, self.to or paths.agents_dir()))
        return 0
