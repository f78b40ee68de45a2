"""`evor data`: the files of a dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from evor_eqx.system import own_files


@dataclass(frozen=True)
class Data:
    """Find, generate or download an OGBench dataset, or describe any data."""

    dataset: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATASET")]]
    """For example pointmaze-medium-navigate or cube-single-play. With --describe also a task (cube-single-play-task2),
    a task of your own (mine.py:swing), or a file or folder of your own data."""
    describe: bool = False
    """Print a table of what the data hold: episodes, steps, returns, bounds."""
    num_episodes: int | None = None
    """Training episodes to generate (validation: a tenth); as many as the published set has if not given."""
    seed: int = 0
    """Seed of the generated data; an integer >= 0."""
    num_workers: int | None = None
    """Processes; all cores if not given. The data do not depend on it."""
    download: bool = False
    """Fetch the published files instead of generating."""

    def run(self) -> int:
        """Print what was found or made, and where it lies, or the table."""
        from evor_eqx.data.loading import describe
        from evor_eqx.data.sources import find_or_make
        from evor_eqx.envs.tasks import parse_task

        if own_files.is_own(self.dataset) or Path(self.dataset).exists():
            print(describe(self.dataset))
            return 0
        source = find_or_make(
            parse_task(self.dataset).dataset,
            num_episodes=self.num_episodes,
            seed=self.seed,
            num_workers=self.num_workers,
            download=self.download,
        )
        print(f"{source.dataset}: {source.origin}, fingerprint {source.fingerprint}\n{source.path}")
        if self.describe:
            print(describe(self.dataset, num_episodes=self.num_episodes, seed=self.seed))
        return 0
