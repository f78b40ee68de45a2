"""Studies: their steps and files, and, on Snakemake itself, one that runs, is done, is killed, fails, and goes on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evor_eqx.cli import main
from evor_eqx.errors import UserError
from evor_eqx.suite.job import STATIONS
from evor_eqx.suite.methods import METHODS
from evor_eqx.suite.workflow import STUDIES, read_study, write_study
from evor_eqx.system import paths

ROOT = Path(__file__).parents[2]
SMALL = STUDIES["small"]


def test_steps_share_what_jobs_share_and_come_after_what_they_need():
    steps = STUDIES["full"].steps()
    counts = {rule: sum(step.rule == rule for step in steps.values()) for rule in STATIONS}
    # Base policies with chunks of 5, and of 1 for QC-1; banks of 1 draw, of 4 for either, and of 32 for QC-5.
    assert counts["data"] == 5 and counts["policy"] == 10 and counts["bank"] == 20
    assert counts["critic"] == 25 * (len(METHODS) - 1) and counts["episodes"] == 25 * len(METHODS)
    done = set()
    for path, step in steps.items():
        assert done.issuperset(step.needs), path
        done.add(path)


def test_the_critics_of_all_seeds_are_one_step_that_needs_each_seeds_bank():
    steps = replace(SMALL, seeds=(0, 1)).steps()
    critic = steps["critic/pointmaze-medium-navigate-task2.scalar"]
    assert critic.needs == tuple(f"bank/pointmaze-medium-navigate-v0.h5.seed{seed}.draws1" for seed in (0, 1))
    assert " --seeds 0 1 " in critic.command
    for seed in (0, 1):
        episodes = steps[f"episodes/pointmaze-medium-navigate-task2.scalar.seed{seed}"]
        assert episodes.needs == (critic.path,) and f" --seeds {seed} " in episodes.command


def test_a_step_is_the_command_of_its_job_up_to_its_station():
    steps = SMALL.steps()
    options = "--preset smoke --episodes-of-data 5"
    task = "pointmaze-medium-navigate-task2"
    critic = steps["critic/pointmaze-medium-navigate-task2.scalar"]
    assert critic.command == f"evor suite --tasks {task} --methods scalar --seeds 0 {options} --until critic"
    assert critic.needs == ("bank/pointmaze-medium-navigate-v0.h5.seed0.draws1",)
    base = steps["episodes/pointmaze-medium-navigate-task2.base.seed0"]
    assert base.needs == ("policy/pointmaze-medium-navigate-v0.h5.seed0",)
    assert steps["figures/00_flow_matching"].needs == tuple(p for p in steps if p.startswith("episodes/"))


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_read_as_it_was_written(name, tmp_path):
    assert read_study(write_study(name, tmp_path / "study.yaml")) == STUDIES[name]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tasks: [cube-single-play]", "no name"),
        ("name: x\nmethod: evor", "got method"),
        ("name: x\ntasks: cube-single-play", "tasks of the study is 'cube-single-play': expected a list of str"),
        ("name: x\nseeds: [0.5]", r"seeds of the study is \[0.5\]: expected a list of int"),
        ("name: x\ntuning: 1", "tuning of the study is 1: expected bool"),
        ("name: x\nmethods: [dqn]", "unknown method 'dqn'"),
        ("name: x\ntasks: [cube]", "cube"),
        ("name: x\npreset: huge", "unknown preset 'huge'"),
        ("- name", "holds list"),
        ("name: [", "is no YAML"),
        ("name: !!python/object/apply:os.system [true]", "is no YAML"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused_in_one_line(text, named, tmp_path):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(UserError, match=named) as raised:
        read_study(tmp_path / "study.yaml")
    assert "\n" not in str(raised.value)


def test_the_command_writes_the_file_and_prints_the_plan(tmp_path, home, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main.main(["study", "small"]) == 0
    plan = capsys.readouterr().out
    assert "small.yaml: 1 data, 1 policy, 1 bank, 2 critic, 4 episodes, 1 figures" in plan
    assert read_study(tmp_path / "small.yaml") == SMALL
    assert main.main(["study", "huge"]) == 2
    assert "unknown study 'huge': expected one of full, seeds, small" in capsys.readouterr().err


def snakemake(folder: Path, *arguments: str, profile: str = "local") -> list[str]:
    """The command line of a study's workflow."""
    workflow = ROOT / "workflow"
    program = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(workflow / "Snakefile")]
    options = ["--configfile", str(folder / "study.yaml"), "--profile", str(workflow / "profiles" / profile)]
    return [*program, *options, "--directory", str(folder), *arguments]


def run(folder: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(snakemake(folder, *arguments, **options), capture_output=True, text=True, timeout=900)


@pytest.mark.fault
def test_a_study_runs_is_killed_goes_on_and_is_done(module_home, tmp_path):
    write_study("small", tmp_path / "study.yaml")
    policy = paths.runs_dir() / "pointmaze-medium-navigate-v0"
    with subprocess.Popen(snakemake(tmp_path), start_new_session=True) as process:
        while not list(policy.glob("policy-*/checkpoint.eqx")):  # in the middle of a training
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    subprocess.run(["pkill", "-KILL", "-f", str(tmp_path)], check=False)
    assert not list(module_home.glob("studies/small/policy/*"))
    run(tmp_path, "--unlock")
    whole = run(tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert marks(module_home) == set(SMALL.steps())
    suite = SMALL.suite()
    evaluations = [setting for job in suite.jobs for settings in job.settings().values() for setting in settings]
    assert suite.left() == [] and len(suite.rows()) == len(evaluations) > 2 * 3 * 2  # three checkpoints, more in depth
    assert (module_home / "figures" / "smoke" / "flow-field.png").exists()
    again = run(tmp_path)
    assert again.returncode == 0 and "Nothing to be done" in again.stderr
    edited = (tmp_path / "study.yaml").read_text().replace("preset: smoke", "preset: laptop")
    (tmp_path / "study.yaml").write_text(edited)
    planned = run(tmp_path, "--dry-run")
    assert planned.returncode == 0 and f"total {len(SMALL.steps()) + 1}" in " ".join(planned.stdout.split())


def marks(home: Path, study: str = "small") -> set[str]:
    """The steps that are done."""
    folder = home / "studies" / study
    return {f"{rule}/{path.name}" for rule in (*STATIONS, "figures") for path in folder.glob(f"{rule}/*")}


@pytest.mark.fault
def test_a_step_that_fails_fails_the_study_names_its_log_and_keeps_the_others(module_home, tmp_path):
    """After the study above: one damaged checkpoint stops its own critic's episodes, not those of the other task."""
    write_study("small", tmp_path / "study.yaml")
    (checkpoint,) = paths.runs_dir().glob(
        "pointmaze-medium-navigate-singletask-task1-v0/critic-scalar-*/checkpoint.eqx"
    )
    checkpoint.write_bytes(checkpoint.read_bytes()[:-7])
    SMALL.suite().record.unlink()
    for results in paths.runs_dir().glob("*/*/results"):
        for file in results.iterdir():
            file.unlink()
    for mark in (module_home / "studies" / "small" / "episodes").iterdir():
        mark.unlink()
    failed = run(tmp_path)
    assert failed.returncode != 0
    hurt = "pointmaze-medium-navigate-task1.scalar.seed0"
    log = module_home / "studies" / "small" / "logs" / f"episodes.{hurt}.log"
    assert str(log) in failed.stderr and str(checkpoint) in log.read_text()
    assert marks(module_home) == set(SMALL.steps()) - {f"episodes/{hurt}"}  # the figures were drawn before


SLURM = all(map(shutil.which, ("slurmctld", "slurmd", "sbatch", "munged", "unshare"))) and os.geteuid() == 0


@pytest.mark.fault
@pytest.mark.skipif(not SLURM, reason="needs root and `apt-get install slurmctld slurmd slurm-client munge`")
def test_the_slurm_profile_runs_a_study_on_one_node(module_home, tmp_path):
    """After the studies above, which made the dataset and the base policy: three steps, one after the other."""
    small = f"preset: {SMALL.preset}\nepisodes_of_data: {SMALL.episodes_of_data}\n"
    (tmp_path / "study.yaml").write_text(f"name: slurm\ntasks: [{SMALL.tasks[0]}]\nmethods: [base]\n{small}")
    # One node has no accounting database, whose absence the default way of asking for a job's state waits for.
    options = [
        "--slurm-status-command",
        "squeue",
        "--slurm-init-seconds-before-status-checks",
        "2",
        "--latency-wait",
        "5",
    ]
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)  # munge's socket wants to be reached by everyone
    command = [str(ROOT / "tests" / "one_node_slurm.sh"), str(folder)]
    command = ["unshare", "--mount", *command, *snakemake(tmp_path, *options, profile="slurm")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    shutil.rmtree(folder, ignore_errors=True)  # its daemons are on their way out
    assert done.returncode == 0, done.stderr[-3000:]
    study = read_study(tmp_path / "study.yaml")
    assert marks(module_home, "slurm") == set(study.steps()) and study.suite().left() == []
    assert done.stderr.count("has been submitted with SLURM jobid") == len(study.steps()) == 3


@pytest.mark.fault
def test_the_kubernetes_profile_plans_a_study(home, tmp_path):
    """No cluster here: a dry run reads the profile, its plugin's options and the plan."""
    write_study("small", tmp_path / "study.yaml")
    planned = run(tmp_path, "--dry-run", profile="kubernetes")
    assert planned.returncode == 0, planned.stderr
    assert "total" in planned.stdout + planned.stderr


def test_the_study_of_a_missing_file_says_how_to_write_one(tmp_path):
    with pytest.raises(UserError, match=r"no study .*evor study"):
        read_study(tmp_path / "none.yaml")
