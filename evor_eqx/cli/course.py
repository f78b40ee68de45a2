"""`evor course`: the course as web pages."""

from dataclasses import dataclass
from pathlib import Path

from evor_eqx.cli.parsing import PresetName


@dataclass(frozen=True)
class Course:
    """Run the course's notebooks without a browser and write them as web pages that need no network."""

    preset: PresetName = "laptop"
    """How much to train. On two cores smoke takes minutes, laptop an hour or more."""
    to: Path | None = None
    """Folder of the pages; course/ in the home folder if not given."""

    def check(self) -> None:
        """Raise UserError for a folder where no pages can be put."""
        from evor_eqx.reports.course import check_pages

        check_pages(self.to)

    def run(self) -> int:
        """Write the pages. Returns 1 if a notebook failed."""
        from evor_eqx.reports.course import write_course

        return write_course(self.to, {"preset": self.preset})
