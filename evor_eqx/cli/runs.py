"""`evor runs`: what was trained, and how far."""

from dataclasses import dataclass

from evor_eqx.errors import UserError
from evor_eqx.system.os_errors import sentence


@dataclass(frozen=True)
class Runs:
    """List the run folders, each with its status and its number of updates, and your own code that took part."""

    def run(self) -> int:
        """Print a line for each run."""
        from evor_eqx.runs.run import all_runs

        for run in all_runs():
            try:
                steps = run.metrics().get("step", [0])
                code = run.config.get("critic", {}).get("code", {})
                own = "".join(f"  own {name} {digest[:6]}" for name, digest in code.items())
                print(f"{run.manifest.get('status', 'empty'):9s} {steps[-1]:>9,} updates  {run.name}{own}")
            except (UserError, OSError) as error:
                print(f"{'cannot be read':27s}  {run.name}: {sentence(error) if isinstance(error, OSError) else error}")
        return 0
