"""The suite's jobs: one method on one task, trained with one seed; what each needs made, and its rows of the record.

A job is done when the record has its rows, of the run that its configuration names. Finding out what is left therefore
trains nothing, makes no folder and needs none but the data's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from evor_eqx.config import Config, Setting, TrainConfig
from evor_eqx.data.sources import Source
from evor_eqx.envs.tasks import Task
from evor_eqx.pipeline import evaluation, identity, stages
from evor_eqx.runs.run import Run
from evor_eqx.suite.methods import METHODS
from evor_eqx.suite.results import Case, Row, put_rows
from evor_eqx.system.progress import listening
from evor_eqx.system.signals import Deadline

STATIONS = ("data", "policy", "bank", "critic", "episodes")


class Station(NamedTuple):
    """Something that a job needs made; several jobs may name the same one. Those of a kind take about as long."""

    what: str  # one of STATIONS
    method: str  # empty where all methods share it
    dataset: str
    name: str


@dataclass(frozen=True)
class Job:
    """One method on one task, trained with one seed."""

    task: Task
    method: str
    seed: int
    config: Config  # its setting is the reported one
    options: str  # of `evor suite`, besides task, method and seed

    def command(self, seeds: Sequence[int] = ()) -> str:
        """The command that does this job or, with `seeds`, those of its task and method with these seeds."""
        chosen = " ".join(map(str, seeds or [self.seed]))
        return f"evor suite --tasks {self.task.short_name} --methods {self.method} --seeds {chosen} {self.options}"

    @property
    def key(self) -> tuple[str, str, int]:
        """What its rows of the record name (`Case.job`)."""
        return self.task.name, self.method, self.seed

    @property
    def name(self) -> str:
        """The job in words."""
        return f"{self.task.short_name}, {self.method}, seed {self.seed}"

    @property
    def policy_name(self) -> str:
        """Which base policy it needs, in a word."""
        return f"{self.task.dataset}.h{self.config.policy.chunk_length}.seed{self.seed}"

    @property
    def bank_name(self) -> str:
        """Which draws of that policy its critic learns from, in a word."""
        return f"{self.policy_name}.draws{self.config.critic.num_bank_draws}"

    @property
    def trains_critic(self) -> bool:
        """Whether a critic is evaluated, or the base policy alone."""
        return METHODS[self.method].trains_critic

    @property
    def train(self) -> TrainConfig:
        """How what is evaluated is trained."""
        return self.config.critic.train if self.trains_critic else self.config.policy.train

    def source(self) -> Source | None:
        """The data, if they are there."""
        return identity.find_source(self.task.dataset, self.config)

    def run(self, source: Source) -> Run:
        """The run that is evaluated, whether it is there or not."""
        if self.trains_critic:
            return identity.critic_run(self.task, source, self.config)
        return identity.policy_run(source, self.config)

    @property
    def in_depth(self) -> bool:
        """Whether early checkpoints and temperatures are looked at too: critics' on the first task of each dataset."""
        return self.trains_critic and self.task.task_id == 1

    def settings(self) -> dict[int | None, list[Setting]]:
        """What is evaluated at each checkpoint, that of the report first; None is the end of the training."""
        first, method = self.config.setting, METHODS[self.method]
        early = self.train.ends_of_blocks(method.early_percent) if method.early_percent else ()
        steps = self.train.snapshot_steps if self.in_depth else (*early, *self.train.late_steps)
        return {**{step: [first] for step in steps}, None: method.settings(first, self.in_depth)}

    def cases(self, source: Source, step: int | None) -> list[Case]:
        """What the record says of the evaluations at a checkpoint, but for their outcome."""
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
        }
        settings, is_late = self.settings()[step], step is None or step in self.train.late_steps
        return [Case(**facts, **vars(s), reported=int(is_late and s == settings[0])) for s in settings]

    def is_done(self, recorded: set[Case]) -> bool:
        """Whether all its cases are among the recorded ones."""
        source = self.source()
        return source is not None and all(recorded.issuperset(self.cases(source, step)) for step in self.settings())

    def left(self) -> Iterator[Station]:
        """What a job that is not done needs made, in order; whether it is there is asked when its turn comes."""
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
        """One of its stations."""
        shared = {"data": self.task.dataset, "policy": self.policy_name, "bank": self.bank_name}
        method = "" if what in shared else self.method
        return Station(what, method, self.task.dataset, shared.get(what, self.name))

    def make(self, what: str, record: Path, deadline: Deadline, other_seeds: Sequence["Job"] = ()) -> None:
        """Make a station, a critic together with its `other_seeds`.

        When the time is up, episodes are left between two checkpoints, all else at any moment.
        """
        if what == "episodes":
            return self._evaluate(record, deadline)
        with listening(deadline.check, draw=True):
            if what == "data":
                identity.ensure_source(self.task.dataset, self.config)
            elif what == "policy":
                stages.ensure_policy(self.task.dataset, self.config)
            elif what == "bank":
                stages.ensure_banks(self.task.dataset, self.config)
            else:
                stages.ensure_critics(self.task, [self.config, *(job.config for job in other_seeds)])

    def _evaluate(self, record: Path, deadline: Deadline) -> None:
        """Run its episodes, checkpoint by checkpoint, then write its rows; what a run folder holds is not run twice."""
        source, rows = identity.ensure_source(self.task.dataset, self.config), []
        run = self.run(source)
        speed = (run.updates_per_second() or float("nan")) * run.manifest.get("num_seeds", 1)
        with evaluation.checkpoint_evaluation(self.task, self.config, with_critic=self.trains_critic) as evaluate:
            for step, settings in self.settings().items():
                deadline.check()
                for case, result in zip(self.cases(source, step), evaluate(step, settings), strict=True):
                    success = (round(share, 4) for share in result.success)
                    rows.append(Row(case, *success, wall_s=round(case.step / speed, 1), command=self.command()))
        put_rows(record, rows, self.config.evaluation.seed)
