"""The whole way at a tiny size on real physics: each station made once, and a kill -9 that changes nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from evor_eqx import pipeline, train
from evor_eqx.config import TrainConfig
from evor_eqx.errors import UserError
from evor_eqx.presets import preset
from evor_eqx.tasks import parse_task

TASK = parse_task("pointmaze-medium-navigate-task1")
TINY = TrainConfig(num_updates=40, batch_size=16, log_every=10, checkpoint_every=20)
SMOKE = preset("smoke")
CONFIG = replace(
    SMOKE,
    data=replace(SMOKE.data, num_episodes=1),
    policy=replace(SMOKE.policy, train=TINY),
    critic=replace(SMOKE.critic, train=TINY),
    evaluation=replace(SMOKE.evaluation, num_episodes=2, num_envs=2),
)


@pytest.mark.slow
def test_every_station_is_made_once_and_then_found(module_home, monkeypatch):
    critic = pipeline.ensure_critic(TASK, CONFIG)
    assert critic.run.complete and pipeline.ensure_policy(TASK.dataset, CONFIG).run.complete

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(train, "fit", refuse)
    again = pipeline.ensure_critic(TASK, CONFIG)
    assert again.run == critic.run
    for leaf, other in zip(jax.tree.leaves(again.model), jax.tree.leaves(critic.model), strict=True):
        np.testing.assert_array_equal(leaf, other)


@pytest.mark.slow
def test_a_run_says_what_made_it(module_home):
    run = pipeline.ensure_critic(TASK, CONFIG).run
    source = pipeline.ensure_source(TASK.dataset, CONFIG)
    assert run.config["fingerprint"] == source.fingerprint and run.config["origin"] == "generated"
    assert run.config["task"] == TASK.name and run.config["gamma"] == 0.99
    assert run.config["policy_run"] == pipeline.ensure_policy(TASK.dataset, CONFIG).run.name
    manifest = run.manifest
    assert {"ogbench", "mujoco", "jax"} <= set(manifest["versions"]) and manifest["device"]
    assert manifest["fingerprint"] == source.fingerprint and manifest["seed"] == 0
    assert manifest["data_reward_timing"] == "pre"
    assert all(np.isfinite(column).all() for column in run.metrics().values())


@pytest.mark.slow
def test_episodes_are_paired_kept_and_never_run_twice(module_home, monkeypatch):
    settings = [replace(CONFIG.setting, num_candidates=n) for n in (1, 2)]
    results = pipeline.ensure_evaluation(TASK, CONFIG, settings)
    seed = CONFIG.evaluation.seed
    assert [[e.seed for e in r.episodes] for r in results] == [[seed, seed + 1]] * 2
    base = pipeline.ensure_base_evaluation(TASK, CONFIG)
    # N_pi = 1 is the base policy: the same noise, so the same episodes, with or without a critic.
    assert [(e.length, e.ret) for e in base.episodes] == [(e.length, e.ret) for e in results[0].episodes]

    monkeypatch.setattr(pipeline, "open_envs", lambda *_, **__: pytest.fail("ran again"))
    again = pipeline.ensure_evaluation(TASK, CONFIG, settings)
    assert [r.episodes for r in again] == [r.episodes for r in results]


@pytest.mark.slow
def test_reward_timing_keeps_its_own_records(module_home):
    result = pipeline.ensure_base_evaluation(parse_task(TASK.name, "post"), CONFIG)
    assert {episode.reward_timing for episode in result.episodes} == {"post"}
    names = [path.name for path in (pipeline.ensure_policy(TASK.dataset, CONFIG).run.path / "results").iterdir()]
    assert sorted(name.split("-")[-3] for name in names) == ["post", "pre"]


@pytest.mark.slow
def test_a_finished_run_without_its_checkpoint_is_named(module_home):
    run = pipeline.ensure_policy(TASK.dataset, CONFIG).run
    checkpoint = run.path / "checkpoint.eqx"
    kept, metrics = checkpoint.rename(run.path / "kept"), (run.path / "metrics.jsonl").read_text()
    with pytest.raises(UserError, match=f"no checkpoint in .*{run.path.name}.*delete the folder"):
        pipeline.load_policy(run)
    assert (run.path / "metrics.jsonl").read_text() == metrics
    kept.rename(checkpoint)
    assert pipeline.load_policy(run).run == run


@pytest.mark.slow
def test_a_killed_run_resumed_gives_the_same_parameters_bit_for_bit(tmp_path):
    """Two homes: in one the command runs undisturbed, in the other it is killed with SIGKILL and called again."""
    command = [sys.executable, "-m", "evor_eqx.cli", "train", "pointmaze-medium-navigate-task1", "--preset", "smoke"]
    command += ["--data.num-episodes", "1", "--critic.train.num-updates", "4000"]

    def start(home: Path) -> subprocess.Popen:
        environment = {**os.environ, "EVOR_HOME": str(home), "CI": "1"}
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)

    def rows(home: Path) -> list[dict]:
        return [
            json.loads(line)
            for path in home.glob("runs/*/critic*/metrics.jsonl")
            for line in path.open()
            if line[-1:] == "\n"
        ]

    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert start(undisturbed).wait() == 0
    process = start(killed)
    while not rows(killed) or rows(killed)[-1]["step"] < 700:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < rows(killed)[-1]["step"] < 4000
    assert start(killed).wait() == 0

    (expected,), (resumed,) = (list(home.glob("runs/*/critic*/checkpoint.eqx")) for home in (undisturbed, killed))
    assert resumed.read_bytes() == expected.read_bytes()
    assert [(r["step"], r["loss"]) for r in rows(killed)] == [(r["step"], r["loss"]) for r in rows(undisturbed)]
