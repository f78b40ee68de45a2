"""`evor suite`: every method on every task."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from evor_eqx.cli.parsing import PresetName
from evor_eqx.errors import UserError
from evor_eqx.system.checked import Checked, within

if TYPE_CHECKING:
    from evor_eqx.suite import runner


@dataclass(frozen=True)
class Suite(Checked):
    """Success of every method on every task, into figures/results/. Goes on where it stopped; prints what is left."""

    tasks: tuple[str, ...] = ()
    """Tasks (cube-single-play-task2), datasets (cube-single-play: all five tasks) or FILE:NAME (mine.py:swing), a task
    of your own; the suite's 25 if not given."""
    methods: tuple[str, ...] = ()
    """Methods, such as base, evor or c51, or the name of a critic or flow target that a file registers
    (mine.py:laplace); all if not given."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of base policies and critics; 0 to 2^31 - 1 each."""
    preset: PresetName = "laptop"
    """How much to train."""
    episodes_of_data: int | None = None
    """Training episodes of each dataset; as many as the published set has (usually 1000) if not given."""
    minutes: float | None = within(0, math.inf, None)
    """Stop after this time, at the end of a block of updates or of a checkpoint's episodes; 0: only print what is
    left."""
    tuning: bool = False
    """Evaluate on other episodes than the reported ones, to choose settings; the results go to a file of their own."""
    until: str = "episodes"
    """The last stage of each job to make: data, policy, bank, critic or episodes."""
    num_devices: int = 1
    """Devices (GPUs) that each batch of a training is spread over; 1 to 8."""

    def check(self) -> None:
        """Raise UserError for unknown names, and for numbers out of range."""
        from evor_eqx.suite.job import STATIONS

        if self.until not in STATIONS:
            raise UserError(f"until is {self.until!r}: expected one of {', '.join(STATIONS)}")
        self._suite  # noqa: B018  it raises for the rest

    @cached_property
    def _suite(self) -> "runner.Suite":
        from evor_eqx.suite import runner

        names = ("preset", "episodes_of_data", "tuning", "num_devices")
        options = {name: getattr(self, name) for name in names}
        return runner.Suite.of(self.tasks, self.methods, self.seeds, **options)

    def run(self) -> int:
        """Do what is left. Returns 1 if a job failed."""
        return self._suite.run(self.minutes, self.until)
