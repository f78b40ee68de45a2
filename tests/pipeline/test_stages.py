"""The whole way at a tiny size on real physics: each station made once, and a kill -9 that changes nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import CONFIG, TASK

from evor_eqx.config import EVALUATORS, IMPROVERS
from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.pipeline import evaluation, identity, loading, stages
from evor_eqx.training import loop


@pytest.mark.slow
def test_every_station_is_made_once_and_then_found(module_home, monkeypatch):
    critic = stages.ensure_critic(TASK, CONFIG)
    assert critic.run.complete and stages.ensure_policy(TASK.dataset, CONFIG).run.complete

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(loop, "fit", refuse)
    again = stages.ensure_critic(TASK, CONFIG)
    assert again.run == critic.run
    for leaf, other in zip(jax.tree.leaves(again.model), jax.tree.leaves(critic.model), strict=True):
        np.testing.assert_array_equal(leaf, other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in (*EVALUATORS, *IMPROVERS) if kind != "flow"])
def test_every_kind_of_critic_goes_the_same_way(module_home, kind):
    critic = replace(CONFIG.critic, kind=kind, n_step=CONFIG.policy.chunk_length)
    critic = replace(critic, num_bank_draws=3) if kind in IMPROVERS else critic
    trained = stages.ensure_critic(TASK, replace(CONFIG, critic=critic))
    again = loading.load_critic(trained.run)
    for leaf, other in zip(jax.tree.leaves(again.model), jax.tree.leaves(trained.model), strict=True):
        np.testing.assert_array_equal(leaf, other)
    metrics = trained.run.metrics()
    assert {"val_loss", "held_out_error", "held_out_crps"} <= set(metrics)
    assert all(np.isfinite(column).all() for column in metrics.values())


@pytest.mark.slow
def test_a_run_says_what_made_it(module_home):
    run = stages.ensure_critic(TASK, CONFIG).run
    source = identity.ensure_source(TASK.dataset, CONFIG)
    assert run.config["fingerprint"] == source.fingerprint and run.config["origin"] == "generated"
    assert run.config["task"] == TASK.name and run.config["gamma"] == 0.99
    assert run.config["policy_run"] == stages.ensure_policy(TASK.dataset, CONFIG).run.name
    manifest = run.manifest
    assert {"ogbench", "mujoco", "jax"} <= set(manifest["versions"]) and manifest["device"]
    assert manifest["fingerprint"] == source.fingerprint and manifest["seed"] == 0
    assert manifest["data_reward_timing"] == "pre"
    assert all(np.isfinite(column).all() for column in run.metrics().values())


@pytest.mark.slow
def test_episodes_are_paired_kept_and_never_run_twice(module_home, monkeypatch):
    settings = [replace(CONFIG.setting, num_candidates=n) for n in (1, 2)]
    results = evaluation.ensure_evaluation(TASK, CONFIG, settings)
    seed = CONFIG.evaluation.seed
    assert [[e.seed for e in r.episodes] for r in results] == [[seed, seed + 1]] * 2
    base = evaluation.ensure_base_evaluation(TASK, CONFIG)
    # N_pi = 1 is the base policy: the same noise, so the same episodes, with or without a critic.
    assert [(e.length, e.ret) for e in base.episodes] == [(e.length, e.ret) for e in results[0].episodes]

    monkeypatch.setattr(stages, "open_envs", lambda *_, **__: pytest.fail("ran again"))
    again = evaluation.ensure_evaluation(TASK, CONFIG, settings)
    assert [r.episodes for r in again] == [r.episodes for r in results]


@pytest.mark.slow
def test_reward_timing_keeps_its_own_records(module_home):
    result = evaluation.ensure_base_evaluation(parse_task(TASK.name, "post"), CONFIG)
    assert {episode.reward_timing for episode in result.episodes} == {"post"}
    names = [path.name for path in (stages.ensure_policy(TASK.dataset, CONFIG).run.path / "results").iterdir()]
    assert sorted(name.split("-")[-3] for name in names) == ["post", "pre"]


@pytest.mark.slow
def test_a_finished_run_without_its_checkpoint_is_named(module_home):
    run = stages.ensure_policy(TASK.dataset, CONFIG).run
    checkpoint = run.path / "checkpoint.eqx"
    kept, metrics = checkpoint.rename(run.path / "kept"), (run.path / "metrics.jsonl").read_text()
    with pytest.raises(UserError, match=f"no checkpoint in .*{run.path.name}.*delete the folder"):
        loading.load_policy(run)
    assert (run.path / "metrics.jsonl").read_text() == metrics
    kept.rename(checkpoint)
    assert loading.load_policy(run).run == run


COMMAND = [sys.executable, "-m", "evor_eqx.cli.main", "train", TASK.name, "--preset", "smoke"]
COMMAND += ["--data.num-episodes", "1", "--critic.train.num-updates", "4000", "--critic.train.checkpoint-every", "2000"]


def start(home: Path) -> subprocess.Popen:
    """The command in a home of its own; it obeys Ctrl-C also where the tests, a shell's background job, ignore it."""
    environment = {**os.environ, "EVOR_HOME": str(home), "CI": "1"}
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, handler)


def rows(home: Path) -> list[dict]:
    """Whole rows of the critic's metrics."""
    return [
        json.loads(line)
        for path in home.glob("runs/*/critic*/metrics.jsonl")
        for line in path.open()
        if line[-1:] == "\n"
    ]


def wait_for_updates(home: Path, process: subprocess.Popen) -> None:
    """Until the critic has been trained for 700 updates."""
    while not rows(home) or rows(home)[-1]["step"] < 700:
        assert process.poll() is None, "the run ended before it could be stopped"
        time.sleep(0.01)


def checkpoint(home: Path) -> bytes:
    (path,) = home.glob("runs/*/critic*/checkpoint.eqx")
    return path.read_bytes()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The home of a command that ran to its end."""
    home = tmp_path_factory.mktemp("undisturbed")
    assert start(home).wait() == 0
    return home


def with_its_data(undisturbed: Path, home: Path) -> Path:
    """A home that holds the dataset and the base policy already, to save time."""
    shutil.copytree(undisturbed, home, ignore=lambda folder, names: [n for n in names if n.startswith("critic")])
    return home


def assert_same(home: Path, undisturbed: Path) -> None:
    """The same parameters and the same record, and nothing left over."""
    assert checkpoint(home) == checkpoint(undisturbed)
    assert [(r["step"], r["loss"]) for r in rows(home)] == [(r["step"], r["loss"]) for r in rows(undisturbed)]
    assert not list(home.rglob("*.lock")) and not list(home.rglob(".writing-*"))


@pytest.mark.fault
@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_run_at_its_blocks_end_and_nothing_is_lost(undisturbed, tmp_path, how, code):
    home = with_its_data(undisturbed, tmp_path / "home")
    process = start(home)
    wait_for_updates(home, process)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    last = rows(home)[-1]["step"]
    assert last < 2000, "stopped before its first checkpoint"
    assert f"is saved at {last} updates; the same command goes on from there" in said and said.count("\n") == 1
    assert start(home).wait() == 0
    assert_same(home, undisturbed)


@pytest.mark.fault
@pytest.mark.parametrize("num_processes", [2, 8])
def test_processes_that_want_one_dataset_and_one_run_make_them_once(undisturbed, tmp_path, num_processes):
    home = tmp_path / "home"
    processes = [start(home) for _ in range(num_processes)]
    assert [process.wait() for process in processes] == [0] * num_processes
    assert_same(home, undisturbed)  # a second training would have written each row twice


@pytest.mark.fault
def test_a_killed_run_is_taken_over_by_who_waits_for_it_and_ends_the_same_bit_for_bit(undisturbed, tmp_path):
    home = with_its_data(undisturbed, tmp_path / "home")
    pair = [start(home), start(home)]
    wait_for_updates(home, pair[0])
    (lock,) = home.glob("runs/*/critic*.lock")
    (holder,) = [process for process in pair if f"process {process.pid} on" in lock.read_text()]
    (lock.with_suffix("") / ".writing-checkpoint.abcd1234.eqx").write_bytes(b"half")
    holder.kill()
    (heir,) = {*pair} - {holder}
    assert holder.wait() == -signal.SIGKILL and 0 < rows(home)[-1]["step"] < 4000
    assert heir.wait() == 0
    assert_same(home, undisturbed)
