"""The suite's jobs: one method on one task, trained with one seed. A job has stages, and rows in the results.

A job is done when the results have its rows, with the name of the run that its configuration defines. So finding the
unfinished jobs trains nothing and creates no folder. It only needs the data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

from evor_eqx.agent.agent import Agent
from evor_eqx.config import Config, InferenceConfig, TrainConfig
from evor_eqx.data.custom import CustomTask
from evor_eqx.data.sources import Source
from evor_eqx.envs.tasks import Task
from evor_eqx.pipeline import identity, stages
from evor_eqx.pipeline.evaluation import Evaluation, Evaluator, results_path
from evor_eqx.pipeline.loading import base_agent, load_policy, load_run_agent
from evor_eqx.runs.run import Run
from evor_eqx.suite.methods import find_method
from evor_eqx.suite.results import put_rows
from evor_eqx.suite.rows import SETTINGS, Case, Row
from evor_eqx.system.progress import listening
from evor_eqx.system.signals import Deadline

STATIONS = ("data", "policy", "bank", "critic", "episodes")


class Station(NamedTuple):
    """A stage of a job: something that must be made. Several jobs may share one.

    Stages with the same `what`, `method` and `dataset` take about the same time.
    """

    what: str  # one of STATIONS
    method: str  # empty if all methods share the stage
    dataset: str
    name: str


@dataclass(frozen=True)
class Job:
    """One method on one task, trained with one seed."""

    task: Task
    method: str
    seed: int
    config: Config  # its inference settings are the reported ones
    options: str  # further options of the `evor suite` command
    names: tuple[str, str]  # of the task and of the method, on the command line

    def command(self, seeds: Sequence[int] = ()) -> str:
        """The command that does this job. With `seeds`, it does the jobs of this task and method with these seeds."""
        chosen = " ".join(map(str, seeds or [self.seed]))
        task, method = self.names
        return f"evor suite --tasks {quote(task)} --methods {quote(method)} --seeds {chosen} {self.options}"

    @property
    def key(self) -> tuple[str, str, int]:
        """(task, method, seed), as in the job's rows of the results (`Case.job`)."""
        return self.task.name, self.method, self.seed

    @property
    def name(self) -> str:
        """The job's name in messages."""
        return f"{self.task.short_name}, {self.method}, seed {self.seed}"

    @property
    def own_task(self) -> str:
        """What identifies a task of your own beside its data, as in its rows; empty for OGBench's."""
        return self.task.definition_digest if isinstance(self.task, CustomTask) else ""

    @property
    def policy_name(self) -> str:
        """A name for the base policy that the job needs."""
        return f"{self.task.dataset}.h{self.config.policy.chunk_length}.seed{self.seed}"

    @property
    def bank_name(self) -> str:
        """A name for the bank of the base policy's draws that the job's critic learns from."""
        return f"{self.policy_name}.draws{self.config.critic.num_bank_draws}"

    @property
    def trains_critic(self) -> bool:
        """Whether a critic is trained. Without one, the base policy alone is evaluated."""
        return find_method(self.method).trains_critic

    @property
    def train(self) -> TrainConfig:
        """The training of the evaluated model: the critic or, without one, the base policy."""
        return self.config.critic.train if self.trains_critic else self.config.policy.train

    def source(self) -> Source | None:
        """The data, or None if they are missing."""
        return identity.find_source(self.task, self.config)

    def run(self, source: Source) -> Run:
        """The run that is evaluated. Its folder may not exist yet."""
        if self.trains_critic:
            return identity.critic_run(self.task, source, self.config)
        return identity.policy_run(source, self.config)

    @property
    def in_depth(self) -> bool:
        """Whether early checkpoints and temperatures are also evaluated: for critics on task 1 of each dataset."""
        return self.trains_critic and self.task.task_id == 1

    def settings(self) -> dict[int | None, list[InferenceConfig]]:
        """The inference settings to evaluate by number of updates (None: all of them), the reported ones first."""
        first, method = self.config.inference, find_method(self.method)
        early = self.train.ends_of_blocks(method.early_percent) if method.early_percent else ()
        steps = self.train.snapshot_steps if self.in_depth else (*early, *self.train.late_steps)
        return {**{step: [first] for step in steps}, None: method.settings(first, self.in_depth)}

    def cases(self, source: Source, step: int | None) -> list[Case]:
        """The columns of the results for the evaluations at a checkpoint, without their outcome."""
        facts = {
            "task": self.task.name,
            "method": self.method,
            "seed": self.seed,
            "step": step or self.train.num_updates,
            "episodes": self.config.evaluation.num_episodes,
            "evaluation_seed": self.config.evaluation.seed,
            "dataset_fingerprint": source.fingerprint,
            "dataset_origin": source.origin,
            "reward_timing": self.task.reward_timing,
            "ogbench": version("ogbench"),
            "run": self.run(source).name,
            "own_task": self.own_task,
        }
        settings, is_late = self.settings()[step], step is None or step in self.train.late_steps
        return [
            Case(**facts, **{name: getattr(s, name) for name in SETTINGS}, reported=int(is_late and s == settings[0]))
            for s in settings
        ]

    def is_done(self, recorded: set[Case]) -> bool:
        """Whether all cases of the job are among the recorded ones."""
        source = self.source()
        return source is not None and all(recorded.issuperset(self.cases(source, step)) for step in self.settings())

    def left(self) -> Iterator[Station]:
        """The stages that an unfinished job still needs, in order. Each is checked only when its turn comes."""
        if self.source() is None:
            yield self.station("data")
        source = self.source()
        if source is None or not identity.policy_run(source, self.config).complete:
            yield self.station("policy")
        if self.trains_critic and (source is None or not stages.has_banks(source, self.config)):
            yield self.station("bank")
        if self.trains_critic and (source is None or not self.run(source).complete):
            yield self.station("critic")
        yield self.station("episodes")

    def station(self, what: str) -> Station:
        """One stage of the job; `what` is one of STATIONS."""
        shared = {"data": self.task.dataset, "policy": self.policy_name, "bank": self.bank_name}
        method = "" if what in shared else self.method
        return Station(what, method, self.task.dataset, shared.get(what, self.name))

    def make(self, what: str, results: Path, deadline: Deadline, other_seeds: Sequence["Job"] = ()) -> None:
        """Make one stage.

        **Arguments:**

        - `what`: one of STATIONS.
        - `results`: the file of results, for the rows of the episodes.
        - `deadline`: raises `TimeUp` when the time is up: between two checkpoints for episodes, else at any moment.
        - `other_seeds`: jobs whose critics are trained together with this one.
        """
        if what == "episodes":
            return self._evaluate(results, deadline)
        with listening(deadline.check, draw=True):
            if what == "data":
                identity.ensure_source(self.task, self.config)
            elif what == "policy":
                stages.ensure_policy(self.task, self.config)
            elif what == "bank":
                stages.ensure_banks(self.task, self.config)
            else:
                stages.ensure_critics(self.task, [self.config, *(job.config for job in other_seeds)])

    def _evaluate(self, results: Path, deadline: Deadline) -> None:
        """Run the episodes, checkpoint by checkpoint, then write the rows. Episodes in the run folder are reused."""
        source, rows = identity.ensure_source(self.task, self.config), []
        run = self.run(source)
        speed = (run.updates_per_second() or float("nan")) * run.manifest.get("num_seeds", 1)
        with Evaluator(self.task, self.config.evaluation, self.config.policy.chunk_length) as evaluator:
            for step, settings in self.settings().items():
                deadline.check()
                found = evaluator.evaluate(self._agent(run, step), settings, results_path(run, self.task, step))
                for case, evaluation in zip(self.cases(source, step), found, strict=True):
                    row = {**_outcome(evaluation), "wall_s": round(case.step / speed, 1), "command": self.command()}
                    rows.append(Row(case, **row))
        put_rows(results, rows, self.config.evaluation.seed)

    def _agent(self, run: Run, step: int | None) -> Agent:
        """The agent at a step: with the job's critic or, if it trains none, with the base policy alone."""
        if self.trains_critic:
            return load_run_agent(run, self.config.inference, step)
        return base_agent(load_policy(run, step), self.config.inference, step)


def _outcome(evaluation: Evaluation) -> dict[str, Any]:
    """Success and return with their intervals, and the normalised score, as in a row of the results."""
    success: Sequence[float | None] = evaluation.success or (None, None, None)
    rounded = [None if share is None else round(share, 4) for share in success]
    rounded += [round(value, 3) for value in evaluation.returns]
    score = None if evaluation.score is None else round(evaluation.score, 2)
    return dict(zip(("success", "low", "high", "ret", "ret_low", "ret_high", "score"), (*rounded, score), strict=True))
