"""`evor data`: the files of a dataset."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from evor_eqx.config import MAX_SEED
from evor_eqx.errors import UserError
from evor_eqx.system import own_files
from evor_eqx.system.checked import Checked, within


@dataclass(frozen=True)
class Data(Checked):
    """Find, generate or download an OGBench dataset, or describe any data."""

    dataset: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATASET")]]
    """For example pointmaze-medium-navigate or cube-single-play. With --describe also a task (cube-single-play-task2),
    a task of your own (mine.py:swing), or a file or folder of your own data."""
    describe: bool = False
    """Print a table of what the data hold: episodes, steps, returns, bounds."""
    num_episodes: int | None = within(1, 100_000, None)
    """Training episodes to generate (validation: a tenth); as many as the published set has if not given."""
    seed: int = within(0, MAX_SEED, 0)
    """Seed of the generated data; 0 to 2^31 - 1."""
    num_workers: int | None = within(1, 1024, None)
    """Processes; all cores if not given. The data do not depend on it."""
    download: bool = False
    """Fetch the published files instead of generating."""

    def check(self) -> None:
        """Raise UserError for an unknown dataset or task, and for contradictory options."""
        from evor_eqx.data.files import READERS
        from evor_eqx.envs.tasks import parse_task

        if not self._is_file and Path(self.dataset).suffix in READERS:
            raise UserError(f"no file {self.dataset}: expected one that is there; check its name")
        if not self._is_file:
            parse_task(self.dataset)
        if self.download and (self.num_episodes is not None or self.seed):
            raise UserError(
                "--download: got --num-episodes or --seed with it, expected one of the two, because a published "
                "dataset has a fixed number of episodes and no seed; drop one of the two"
            )

    @property
    def _is_file(self) -> bool:
        return bool(self.dataset.strip()) and not own_files.is_own(self.dataset) and Path(self.dataset).exists()

    def run(self) -> int:
        """Print what was found or made, and where it lies, or the table."""
        from evor_eqx.data.loading import describe
        from evor_eqx.data.sources import find_or_make
        from evor_eqx.envs.tasks import parse_task

        if self._is_file or own_files.is_own(self.dataset):
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
