"""Studies on Snakemake itself: one that runs, is done, is killed, fails, and goes on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from evor_eqx.suite.job import STATIONS
from evor_eqx.suite.workflow import STUDIES, read_study, write_study
from evor_eqx.system import paths

ROOT = Path(__file__).parents[2]
SMALL = STUDIES["small"]


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
    write_study(STUDIES["small"], tmp_path / "study.yaml")
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
    evaluations = [inference for job in suite.jobs for settings in job.settings().values() for inference in settings]
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
    write_study(STUDIES["small"], tmp_path / "study.yaml")
    (checkpoint,) = paths.runs_dir().glob(
        "pointmaze-medium-navigate-singletask-task1-v0/critic-scalar-*/checkpoint.eqx"
    )
    checkpoint.write_bytes(checkpoint.read_bytes()[:-7])
    SMALL.suite().results.unlink()
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
    write_study(STUDIES["small"], tmp_path / "study.yaml")
    planned = run(tmp_path, "--dry-run", profile="kubernetes")
    assert planned.returncode == 0, planned.stderr
    assert "total" in planned.stdout + planned.stderr
