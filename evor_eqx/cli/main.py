"""`evor data | train | evaluate | suite | study | figures | course | pack | runs | bench`: the pipeline as a command.

Exit code 0: done; 1: a figure or a job failed; 2: bad input, with one line that says what to do; 130 and 143: stopped
by SIGINT (Ctrl-C) or SIGTERM. A training stops at the end of its block and is saved there; a second signal stops it at
once. The same command goes on from what was saved.
"""

import errno
import itertools
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from evor_eqx.config import Config
from evor_eqx.errors import UserError
from evor_eqx.presets import PRESETS, preset
from evor_eqx.system.signals import sigterm_as_interrupt

PresetName = Annotated[str, tyro.conf.arg(metavar="{" + ",".join(PRESETS) + "}")]


@dataclass(frozen=True, kw_only=True)
class _Experiment:
    """What all commands that train have in common."""

    preset: PresetName = "laptop"
    """Where the settings below start from."""
    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)


@dataclass(frozen=True)
class Data:
    """Find, generate or download an OGBench dataset."""

    dataset: tyro.conf.Positional[str]
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


@dataclass(frozen=True)
class Train(_Experiment):
    """Train what is missing: the base policy of a dataset, or also the critic of one of its tasks."""

    name: tyro.conf.Positional[str]
    """A dataset (cube-single-play: base policy) or a task (cube-single-play-task2: base policy and critic)."""
    all_tasks: bool = False
    """Train the critics of all tasks of the dataset in one run, on one encoder."""

    def run(self) -> int:
        from evor_eqx.envs.tasks import is_task, parse_task
        from evor_eqx.pipeline import stages

        if self.all_tasks:
            trained: Any = stages.ensure_shared_critic(parse_task(self.name), self.config)
        elif is_task(self.name):
            trained = stages.ensure_critic(parse_task(self.name), self.config)
        else:
            trained = stages.ensure_policy(self.name, self.config)
        print(trained.run.path)
        return 0


@dataclass(frozen=True)
class Evaluate(_Experiment):
    """Success of a task's agent over a grid of settings, on the same episodes; trains what is missing."""

    task: tyro.conf.Positional[str]
    """For example cube-single-play-task2."""
    num_candidates: tuple[int, ...] = ()
    """Values of N_pi; the configuration's if not given."""
    tau_r: tuple[float, ...] = ()
    """Values of the value temperature; the configuration's if not given."""
    tau_q: tuple[float, ...] = ()
    """Values of the selection temperature; the configuration's if not given."""
    all_tasks: bool = False
    """Use the critic that was trained together with those of the dataset's other tasks."""
    reward_timing: str = "pre"
    """pre: reward and success read from s (ogbench >= 1.2); post: from s' (ogbench 1.1, as in the papers)."""

    def run(self) -> int:
        from evor_eqx.envs.tasks import parse_task
        from evor_eqx.pipeline import evaluation

        config = self.config
        task = parse_task(self.task, self.reward_timing)
        axes = {name: getattr(self, name) or (getattr(config.setting, name),) for name in _AXES}
        settings = [
            replace(config.setting, **dict(zip(axes, values, strict=True)))
            for values in itertools.product(*map(dict.fromkeys, axes.values()))  # each value once
        ]
        print("N_pi  tau_R  tau_Q  success  95 % interval   episodes")
        for result in evaluation.ensure_evaluation(task, config, settings, shared=self.all_tasks):
            setting, success = result.setting, result.success
            print(
                f"{setting.num_candidates:4d}  {setting.tau_r:5g}  {setting.tau_q:5g}  {success.estimate:7.0%}  "
                f"{success.low:5.0%} to {success.high:4.0%}  {len(result.episodes):8d}"
            )
        return 0


@dataclass(frozen=True)
class Suite:
    """Success of every method on every task, into figures/results/; goes on where it was left, prints what is left."""

    tasks: tuple[str, ...] = ()
    """Tasks (cube-single-play-task2) or datasets (cube-single-play: all five tasks); the suite's 25 if not given."""
    methods: tuple[str, ...] = ()
    """Methods, such as base, evor or c51; all if not given."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of base policies and critics."""
    preset: PresetName = "laptop"
    """How much to train."""
    episodes_of_data: int | None = None
    """Training episodes of each dataset; as many as the published set has (usually 1000) if not given."""
    minutes: float | None = None
    """Stop after so long, at the end of a block of updates or of a checkpoint's episodes; 0: only say what is left."""
    tuning: bool = False
    """Evaluate on other episodes than the reported ones, for the choice of settings; into a record of its own."""
    until: str = "episodes"
    """The last station to make of each job: data, policy, bank, critic or episodes."""
    num_devices: int = 1
    """Devices (GPUs) that each batch of a training is spread over."""

    def run(self) -> int:
        from evor_eqx.suite import runner

        names = ("preset", "episodes_of_data", "tuning", "num_devices")
        options = {name: getattr(self, name) for name in names}
        return runner.Suite.of(self.tasks, self.methods, self.seeds, **options).run(self.minutes, self.until)


@dataclass(frozen=True)
class Study:
    """Write a study's YAML, which the Snakemake workflow runs on this machine or on a cluster, and print its plan."""

    name: tyro.conf.Positional[str]
    """full (25 tasks, all methods), seeds (a task of each dataset, three seeds) or small (two by two)."""
    to: Path | None = None
    """The file to write; <name>.yaml in the current folder if not given."""

    def run(self) -> int:
        from evor_eqx.suite.workflow import STUDIES, write_study

        path = write_study(self.name, self.to or Path(f"{self.name}.yaml"))
        print(STUDIES[self.name].plan(path))
        return 0


@dataclass(frozen=True)
class Figures:
    """Run notebooks headlessly and write their pictures; what has not changed is skipped."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Notebooks; all if none is given."""
    preset: PresetName = "laptop"
    """How much to train: smoke takes some minutes in all; laptop hours, of them some twenty minutes for what `make
    figures` draws. Each notebook's first lines say how long it takes on two cores."""
    force: bool = False
    """Run also what has not changed."""
    parameter: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """name=value for the notebooks' parameters; may be given several times."""

    def run(self) -> int:
        from evor_eqx.reports.notebooks import parse_parameters, run_all

        return run_all(self.names, {"preset": self.preset, **parse_parameters(self.parameter)}, force=self.force)


@dataclass(frozen=True)
class Course:
    """Run the notebooks of the course headlessly and write them as web pages that need no network."""

    preset: PresetName = "laptop"
    """How much to train: smoke takes minutes, laptop an hour and more on two cores."""
    to: Path | None = None
    """Folder of the pages; course/ in the home folder if not given."""

    def run(self) -> int:
        from evor_eqx.reports.course import write_course

        return write_course(self.to, {"preset": self.preset})


@dataclass(frozen=True)
class Pack(_Experiment):
    """Write a task's agent, with some held-out episodes, as a small folder that needs no training to be opened."""

    task: tyro.conf.Positional[str]
    """For example cube-single-play-task2."""
    to: Path | None = None
    """The folder to write into; agents/ in the home folder, where the explorer looks, if not given."""

    def run(self) -> int:
        from evor_eqx.envs.tasks import parse_task
        from evor_eqx.system import paths
        from evor_eqx.zoo import packed

        print(packed.pack(parse_task(self.task), self.config, self.to or paths.agents_dir()))
        return 0


@dataclass(frozen=True)
class Runs:
    """List the run folders."""

    def run(self) -> int:
        from evor_eqx.runs.run import all_runs

        for run in all_runs():
            try:
                steps = run.metrics().get("step", [0])
                print(f"{run.manifest.get('status', 'empty'):9s} {steps[-1]:>9,} updates  {run.name}")
            except UserError as error:
                print(f"{'damaged':27s}  {run.name}: {error}")
        return 0


@dataclass(frozen=True)
class Bench:
    """Time updates, decisions, data and evaluation beside this machine's own matrix product and bare simulation."""

    json: Path | None = None
    """Also write everything to this file."""
    width: int = 512
    """Units of each hidden layer."""
    depth: int = 4
    """Hidden layers."""
    batch_size: int = 256
    """Windows per update."""
    num_rounds: int = 5
    """Rounds of all updates; decisions take eight times as many."""
    physics: bool = True
    """Also time data generation and evaluation, two minutes."""

    def run(self) -> int:
        from evor_eqx.bench import decisions as decisions_
        from evor_eqx.bench import explorer as bench_explorer
        from evor_eqx.bench import simulation, timing
        from evor_eqx.bench import updates as updates_
        from evor_eqx.runs.run import environment
        from evor_eqx.system.files import write_json

        updates = updates_.run_training(self.width, self.depth, self.batch_size, self.num_rounds)
        updates += updates_.run_methods(num_rounds=self.num_rounds)
        print(f"{'':36s}{'updates/s':>10s}{'ms':>9s}{'GFLOP':>8s}{'of peak':>9s}{'first call':>12s}")
        for row in updates:
            print(
                f"{row.name:36s}{row.per_second:10.1f}{row.milliseconds:9.2f}{row.gflop:8.2f}"
                f"{row.share_of_peak:9.0%}{row.first_call:10.1f} s"
            )
        decisions = decisions_.run_decisions(self.width, self.depth, num_rounds=8 * self.num_rounds)
        print(f"\n{'one decision, N = 16, 10 + 10 steps':36s}{'N_pi':>10s}{'p50 ms':>9s}{'p99 ms':>8s}")
        for decision in decisions:
            print("{network:36s}{num_candidates:10d}{p50_ms:9.2f}{p99_ms:8.2f}".format(**decision))
        memory = timing.peak_memory()
        print(f"\npeak memory {memory:.0f} MB")
        explorer = bench_explorer.run_explorer()
        print(f"\n{'the explorer, in the kernel':46s}{'p50 ms':>9s}{'p95 ms':>8s}")
        for row in explorer:
            print("{what:46s}{p50_ms:9.1f}{p95_ms:8.1f}".format(**row))
        physics = simulation.run_physics() if self.physics else []
        if physics:
            print(f"\n{'steps/s on all cores':36s}{'bare':>10s}{'generation':>12s}{'':>6s}{'evaluation':>12s}")
        for row in physics:
            print(
                "{dataset:36s}{bare:10.0f}{generation:12.0f}{generation_share:6.2f}{evaluation:12.0f}"
                "{evaluation_share:6.2f}".format(**row)
            )
        if self.json:
            updates = [vars(row) for row in updates]
            results = {"updates": updates, "decisions": decisions, "explorer": explorer, "physics": physics}
            results["peak_memory_mb"] = memory
            settings = {name: value for name, value in vars(self).items() if name != "json"}
            write_json(self.json, {**results, "settings": settings, **environment()})
        return 0


_AXES = ("num_candidates", "tau_r", "tau_q")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of the `evor` command; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        start = preset(_preset_name(arguments))
        commands = {
            "data": Data,
            "train": partial(Train, config=start),
            "evaluate": partial(Evaluate, config=start),
            "suite": Suite,
            "study": Study,
            "figures": Figures,
            "course": Course,
            "pack": partial(Pack, config=start),
            "runs": Runs,
            "bench": Bench,
        }
        command = tyro.extras.subcommand_cli_from_dict(commands, args=arguments, prog="evor", description=__doc__)
        with sigterm_as_interrupt():
            return command.run()
    except (UserError, OSError) as error:  # OSError: a full disk, a folder that must not be written to
        kept = "; make room, what was saved is kept, the same command goes on from there"
        print(f"evor: {error}{kept if getattr(error, 'errno', None) == errno.ENOSPC else ''}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        said = str(stop) or "interrupted, what was saved is kept"
        print(f"evor: {said}; the same command goes on from there", file=sys.stderr)
        return 128 + getattr(stop, "signum", signal.SIGINT)


def _preset_name(arguments: Sequence[str]) -> str:
    """The value of --preset, read before the rest, because it decides the other defaults."""
    for flag, value in itertools.pairwise([*arguments, ""]):
        if flag == "--preset":
            return value
        if flag.startswith("--preset="):
            return flag.removeprefix("--preset=")
    return "laptop"


if __name__ == "__main__":
    sys.exit(main())
