"""`evor expert`: the trained bodies that collect data."""

from dataclasses import dataclass
from typing import Literal

import tyro

from evor_eqx.config import MAX_SEED
from evor_eqx.errors import UserError
from evor_eqx.system.checked import Checked, within


@dataclass(frozen=True)
class Expert(Checked):
    """Train the ant that collects antmaze data. One comes with the package; this makes it again, or another."""

    name: tyro.conf.Positional[Literal["ant"]]
    """Which body."""
    num_steps: int = within(10_050, 10_000_000, 400_000)
    """Steps of the environment, a multiple of 50. The first 10,000 are random; then comes an update for each step."""
    seed: int = within(0, MAX_SEED, 0)
    """Seed of everything that is drawn; 0 to 2^31 - 1."""

    def check(self) -> None:
        """Raise UserError unless the steps fill whole blocks."""
        if self.num_steps % 50:
            raise UserError(f"num_steps is {self.num_steps}: expected a multiple of 50; round it")

    def run(self) -> int:
        """Print the learning curve, and where the actor lies."""
        from evor_eqx.training.expert.ant import ExpertConfig, train_ant
        from evor_eqx.training.expert.shipping import write_actor

        config = ExpertConfig(num_steps=self.num_steps, seed=self.seed)
        run = train_ant(config)
        print(f"{'steps':>9s}{'m/s':>8s}{'m/s, mean action':>18s}{'entropy':>9s}{'alpha':>8s}")
        columns = run.metrics()
        names = ("step", "speed", "mean_action_speed", "entropy", "alpha")
        for row in zip(*(columns[name] for name in names), strict=True):
            print("{:9d}{:8.2f}{:18.2f}{:9.2f}{:8.4f}".format(*row))
        print(write_actor(run, config))
        return 0
