"""`evor evaluate`: success and return of an agent, as a table over inference settings."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from evor_eqx.cli.parsing import Experiment, TaskName
from evor_eqx.config import InferenceConfig

if TYPE_CHECKING:
    from evor_eqx.pipeline.evaluation import Evaluation

_GRID = ("num_candidates", "tau_r", "tau_q")
_HEADER = ("N_pi", "tau_R", "tau_Q", "success", "95 % interval", "return", "95 % interval", "score", "episodes")


@dataclass(frozen=True)
class Evaluate(Experiment):
    """Success and return of a task's agent over a grid of inference settings, each with its 95 % interval.

    All settings are evaluated on the same episodes. Missing models are trained first.
    """

    task: TaskName
    """For example cube-single-play-task2, or mine.py:swing, a task of your own."""
    num_candidates: tuple[int, ...] = ()
    """Values of N_pi, 1 to 128 each; --inference.num-candidates if not given."""
    tau_r: tuple[float, ...] = ()
    """Values of the value temperature, 0.1 to 100 each; --inference.tau-r if not given."""
    tau_q: tuple[float, ...] = ()
    """Values of the selection temperature, 0 to 100 each; --inference.tau-q if not given."""
    all_tasks: bool = False
    """Use the multi-task critic, which was trained on all tasks of the dataset."""
    reward_timing: str = "pre"
    """pre: reward and success are read from s (ogbench >= 1.2). post: from s' (ogbench 1.1, as in the papers)."""

    def check(self) -> None:
        """Raise UserError for an unknown task or timing, and for settings out of range."""
        from evor_eqx.envs.tasks import parse_task

        parse_task(self.task, self.reward_timing)
        self.settings()

    def run(self) -> int:
        """Print the table."""
        from evor_eqx.envs.tasks import parse_task
        from evor_eqx.pipeline.evaluation import evaluate_settings
        from evor_eqx.pipeline.stages import ensure_agent, ensure_multitask_agent

        task, settings = parse_task(self.task, self.reward_timing), self.settings()
        agent = (ensure_multitask_agent if self.all_tasks else ensure_agent)(task, self.config)
        print(table(evaluate_settings(agent, task, self.config.evaluation, settings)))
        return 0

    def settings(self) -> list[InferenceConfig]:
        """The grid's inference settings, each once."""
        start = self.config.inference
        axes = [dict.fromkeys(getattr(self, name) or (getattr(start, name),)) for name in _GRID]
        return [replace(start, **dict(zip(_GRID, values, strict=True))) for values in itertools.product(*axes)]


def table(results: Iterable["Evaluation"]) -> str:
    """A header and a row for each setting, in columns that are aligned to the right.

    Success is left out if the environment does not say, and the score without the task's reference returns.
    """
    rows = [_HEADER, *map(_cells, results)]
    kept = [index for index, column in enumerate(zip(*rows[1:], strict=True)) if any(column)]
    rows = [tuple(row[index] for index in kept) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)


def _cells(result: "Evaluation") -> tuple[str, ...]:
    setting, success, returns = result.inference, result.success, result.returns
    return (
        f"{setting.num_candidates}",
        f"{setting.tau_r:g}",
        f"{setting.tau_q:g}",
        f"{success.estimate:.0%}" if success else "",
        f"{success.low:.0%} to {success.high:.0%}" if success else "",
        f"{returns.estimate:.1f}",
        f"{returns.low:.1f} to {returns.high:.1f}",
        "" if result.score is None else f"{result.score:.1f}",
        f"{len(result.episodes)}",
    )
