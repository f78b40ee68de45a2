"""The suite: every method on every task with every seed, into one file of results.

Each call of `evor suite` does unfinished jobs until its time is up. Then it prints what is left and estimates how long
that takes, from the times of earlier stages in `runs/<results>.jsonl`.
"""

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evor_eqx.config import TrainConfig
from evor_eqx.envs.dataset_names import DATASETS
from evor_eqx.envs.tasks import OgbenchTask, Task, all_tasks, is_task, parse_task
from evor_eqx.errors import UserError
from evor_eqx.presets import preset as named_preset
from evor_eqx.suite.job import STATIONS, Job
from evor_eqx.suite.methods import METHODS, find_method, in_order, method_name
from evor_eqx.suite.results import datasets_of, read_results
from evor_eqx.suite.rows import TUNING_SEED, Case, Row
from evor_eqx.suite.tables import mean_return
from evor_eqx.suite.times import time_left, timed, timing
from evor_eqx.system import paths
from evor_eqx.system.files import check_writable, remove_leftovers
from evor_eqx.system.os_errors import sentence
from evor_eqx.system.progress import duration
from evor_eqx.system.signals import Deadline, TimeUp

SUITE = (
    "pointmaze-medium-navigate",
    "pointmaze-large-navigate",
    "cube-single-play",
    "cube-double-play",
    "scene-play",
)


@dataclass(frozen=True)
class Suite:
    """Jobs in order, and the file of results for their rows."""

    jobs: list[Job]
    results: Path
    evaluation_seed: int

    @classmethod
    def of(
        cls,
        tasks: Sequence[str] = (),
        methods: Sequence[str] = (),
        seeds: Sequence[int] = (0,),
        *,
        preset: str = "laptop",
        episodes_of_data: int | None = None,
        tuning: bool = False,
        num_devices: int = 1,
    ) -> "Suite":
        """The suite with these jobs, dataset by dataset, the cheap ones first, so that a part is complete early.

        **Arguments:**

        - `tasks`: names of tasks, or of datasets for all their tasks; the suite's five datasets if empty.
        - `methods`: all if empty; FILE.py:NAME is a critic or flow target that a file of yours registers.
        - `preset`, `episodes_of_data`, `tuning`: each combination has its own file of results. `tuning` evaluates on
          other episodes than the reported ones.

        **Raises:**

        UserError for unknown names and numbers out of range.
        """
        chosen = _tasks(tasks or SUITE)  # first, because a file of tasks may register methods
        typed = {method_name(method): method for method in methods or METHODS}
        for method in typed:
            find_method(method)
        base = named_preset(preset)
        has_more = base.data.num_episodes is not None and (episodes_of_data or math.inf) > base.data.num_episodes
        base = replace(base, data=replace(base.data, num_episodes=episodes_of_data), num_devices=num_devices)
        if tuning:
            base = replace(base, evaluation=replace(base.evaluation, seed=TUNING_SEED))
        options = f"--preset {preset}"
        options += "" if episodes_of_data is None else f" --episodes-of-data {episodes_of_data}"
        options += " --tuning" if tuning else ""
        more = replace(base, critic=replace(base.critic, train=_for_more_data(base.critic.train)))
        jobs = []
        for task, name in chosen.items():
            start = more if has_more and isinstance(task, OgbenchTask) else base
            for method, seed in itertools.product(typed, {*seeds}):
                config = find_method(method).configure(start, task, seed)
                jobs.append(Job(task, method, seed, config, options, (name, typed[method])))
        words = ["suite", preset, episodes_of_data and f"{episodes_of_data}episodes", tuning and "tuning"]
        results = paths.figures_dir() / "results" / f"{'-'.join(word for word in words if word)}.csv"
        return cls(sorted(jobs, key=_order), results, base.evaluation.seed)

    def run(self, minutes: int | float | None = None, until: str = STATIONS[-1]) -> int:
        """Do the unfinished jobs; print the plan, each job's success rate, what is left, and where the results are.

        A job that fails does not stop the others. Returns the exit code: 1 if a job failed, else 0. `minutes` is the
        time limit; `until` is the last stage to make for each job, one of `STATIONS`.
        """
        deadline, num_failed = Deadline(minutes), 0
        remove_leftovers(self._times)  # the last write of a call; a later call may have nothing to add
        if self.left() and minutes != 0:
            check_writable(self.results, "results")
        print(f"{self.table()}\n{self.describe_left()}", flush=True)
        try:
            for job in self.left():
                try:
                    self._do(job, deadline, until)
                    done = self._value(job) if until == STATIONS[-1] else f"{until} made"
                    print(f"{job.name}: {done}", flush=True)
                # RuntimeError: a device's memory ran out, a worker failed. OSError: a full disk, a folder that is gone.
                except (UserError, RuntimeError, OSError) as error:
                    said = sentence(error) if isinstance(error, OSError) else error
                    print(f"{job.name}: failed, {said}", flush=True)
                    num_failed += 1
        except TimeUp:
            print("the time is up; run the same command to continue")
        finally:
            written = [f"results: {self.results}"] if self.results.exists() else []
            print("\n".join([*self.mixed_data(), self.describe_left(), *written]), flush=True)
        return int(num_failed > 0)

    def rows(self) -> list[Row]:
        """The rows of the suite's jobs in the results; of tasks of your own, those of the task as it is now."""
        jobs = {job.key: job.own_task for job in self.jobs}
        return [row for row in self._all_rows() if jobs.get(row.case.job) == row.case.own_task]

    def mixed_data(self) -> list[str]:
        """A warning for each of the suite's datasets if methods in the results used different data of it."""
        tasks = {job.task.name for job in self.jobs}
        found = datasets_of([row for row in self._all_rows() if row.case.task in tasks])
        return [
            f"{name}: methods in the results had different data ({several}), which also makes them differ"
            for name, several in found.items()
            if "," in several
        ]

    def left(self) -> list[Job]:
        """The unfinished jobs: those without their rows in the results."""
        recorded = self._recorded()
        return [job for job in self.jobs if not job.is_done(recorded)]

    def table(self) -> str:
        """How many jobs are done: a row for each dataset and reward, a column for each method."""
        left = {job.name for job in self.left()}
        counts: dict[tuple[str, str], list[bool]] = defaultdict(list)
        for job in self.jobs:
            counts[job.task.group, job.method].append(job.name not in left)
        methods = list(dict.fromkeys(job.method for job in self.jobs))
        lines = [f"{'jobs done':28s}" + "".join(f"{method:>10s}" for method in methods)]
        for group in dict.fromkeys(job.task.group for job in self.jobs):
            cells = [f"{sum(done)}/{len(done)}" for done in (counts[group, method] for method in methods)]
            lines.append(f"{group:28s}" + "".join(f"{cell:>10s}" for cell in cells))
        return "\n".join(lines)

    def describe_left(self) -> str:
        """How many jobs are left, and how long they take, estimated from stages of the same kind."""
        left = self.left()
        if not left:
            return f"nothing is left, all {len(self.jobs)} jobs are done"
        stations = {station for job in left for station in job.left()}
        seconds, unknown = time_left(stations, timed(self._times))
        jobs = f"left: {len(left)} of {len(self.jobs)} jobs"
        if unknown == len(stations):
            return f"{jobs}; the time is not known until a stage of each kind is done"
        if unknown:
            uncounted = f", not counting {unknown} of {len(stations)} stages"
            return f"{jobs}, about {duration(seconds)}{uncounted}, because no stage of their kind was timed yet"
        return f"{jobs}, about {duration(seconds)}"

    @property
    def _times(self) -> Path:
        return paths.runs_dir() / f"{self.results.stem}.jsonl"

    def _all_rows(self) -> list[Row]:
        return read_results(self.results, self.evaluation_seed) if self.results.exists() else []

    def _recorded(self) -> set[Case]:
        return {row.case for row in self.rows()}

    def _do(self, job: Job, deadline: Deadline, until: str) -> None:
        for station in job.left():
            if STATIONS.index(station.what) > STATIONS.index(until):
                return
            if station.what != "data" and job.is_done(self._recorded()):  # unknown before the data exist
                return
            others = self._other_seeds(job) if station.what == "critic" else []
            for other in others:
                self._do(other, deadline, "bank")
            deadline.check()
            with timing([station, *(other.station("critic") for other in others)], self._times):
                job.make(station.what, self.results, deadline, others)

    def _other_seeds(self, job: Job) -> list[Job]:
        """The unfinished jobs that still have to train the same critic with other seeds."""
        same = [other for other in self.left() if (other.task, other.method) == (job.task, job.method)]
        return [other for other in same if other != job and other.station("critic") in other.left()]

    def _value(self, job: Job) -> str:
        """A job's success or, where it is unknown, its return."""
        rows = [row for row in self.rows() if row.case.job == job.key and row.case.reported]
        successes = [row.success for row in rows if row.success is not None]
        return f"{np.mean(successes):.0%}" if successes else f"return {mean_return(rows).estimate:.1f}"


def _for_more_data(train: TrainConfig) -> TrainConfig:
    """More and larger gradient steps. The presets stop earlier, because their fewer episodes make critics over-fit."""
    return replace(train, num_updates=train.num_updates * 6 // 5, learning_rate=1e-3)


def _tasks(names: Sequence[str]) -> dict[Task, str]:
    """The tasks of names of tasks and datasets, each once, with the name that the command line understands."""
    found: dict[Task, str] = {}
    for name in names:
        task = parse_task(name)
        for each in [task] if is_task(name) else all_tasks(task):
            found[each] = each.short_name if isinstance(each, OgbenchTask) else name
    typed: dict[str, str] = {}
    for task, name in found.items():
        if task.name in typed:
            raise UserError(
                f"tasks: got two tasks of the name {task.name}, {typed[task.name]} and {name}, expected names of their "
                "own, because results are named by them; rename one of them"
            )
        typed[task.name] = name
    return found


def _order(job: Job) -> tuple[int | str, ...]:
    task, methods = job.task, in_order({*METHODS, job.method})
    place = DATASETS.index(task.dataset) if task.dataset in DATASETS else len(DATASETS)
    return place, task.group, job.seed, methods.index(job.method), task.task_id
