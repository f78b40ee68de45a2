"""`evor data`: the files of a dataset."""

from dataclasses import dataclass
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Data:
    """Find, generate or download an OGBench dataset."""

    dataset: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="DATASET")]]
    """For example pointmaze-medium-navigate or cube-single-play."""
    num_episodes: int | None = None
    """Training episodes to generate (validation: a tenth); as many as the published set has if not given."""
    seed: int = 0
    """Seed of the generated data; an integer >= 0."""
    num_workers: int | None = None
    """Processes; all cores if not given. The data do not depend on it."""
    download: bool = False
    """Fetch the published files instead of generating."""

    def run(self) -> int:
        """Print what was found or made, and where it lies."""
        from evor_eqx.data.sources import find_or_make
        from evor_eqx.envs.tasks import dataset_name

        source = find_or_make(
            dataset_name(self.dataset),
            num_episodes=self.num_episodes,
            seed=self.seed,
            num_workers=self.num_workers,
            download=self.download,
        )
        print(f"{source.dataset}: {source.origin}, fingerprint {source.fingerprint}\n{source.path}")
        return 0
