"""`evor figures`: the notebooks' pictures."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from evor_eqx.cli.parsing import PresetName


@dataclass(frozen=True)
class Figures:
    """Run notebooks without a browser and write their figures. A notebook that has not changed is skipped."""

    names: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="[NAME ...]")]] = ()
    """Notebooks; all if none is given."""
    preset: PresetName = "laptop"
    """How much to train. smoke takes some minutes for all notebooks. laptop takes hours, of which the figures of `make
    figures` take about twenty minutes. Each notebook's first lines say how long it takes on two cores."""
    force: bool = False
    """Run also what has not changed."""
    parameter: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """name=value for the notebooks' parameters; may be given several times."""

    def check(self) -> None:
        """Raise UserError for an unknown notebook or parameter."""
        from evor_eqx.reports.notebooks import chosen_notebooks

        chosen_notebooks(self.names, self._parameters)

    @property
    def _parameters(self) -> dict[str, Any]:
        from evor_eqx.reports.parameters import parse_parameters

        return {"preset": self.preset, **parse_parameters(self.parameter)}

    def run(self) -> int:
        """Run the notebooks. Returns 1 if one failed."""
        from evor_eqx.reports.notebooks import run_all

        return run_all(self.names, self._parameters, force=self.force)
