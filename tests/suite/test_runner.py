"""The suite at a tiny size, with real training and made-up episodes: its order, its sittings, its results."""

import contextlib
import math
import shutil
from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import create_autospec

import jax
import numpy as np
import pytest
from suite.test_results import make_row
from tiny import CONFIG

from evor_eqx import presets
from evor_eqx.agent.agent import models_digest
from evor_eqx.critics.registry import critic_config
from evor_eqx.data.sources import Source
from evor_eqx.envs.dataset_names import DATASETS
from evor_eqx.envs.tasks import parse_task
from evor_eqx.envs.vector import ParallelEnvs
from evor_eqx.errors import UserError
from evor_eqx.evaluation.episodes import Episode, Rollout
from evor_eqx.pipeline import evaluation, identity, loading, stages
from evor_eqx.suite import runner
from evor_eqx.suite.job import Station
from evor_eqx.suite.methods import (
    ARMS,
    CANDIDATES,
    MAZES,
    METHODS,
    POLICY_NETWORK,
    SCENE,
    TAUS_Q,
    TAUS_R,
    recipe,
    temperatures,
)
from evor_eqx.suite.results import put_rows, read_results
from evor_eqx.suite.rows import REPORTED_SEED, TUNING_SEED
from evor_eqx.suite.runner import SUITE, Suite
from evor_eqx.system import paths
from evor_eqx.system.json_records import read_lines
from evor_eqx.system.signals import Deadline, TimeUp
from evor_eqx.training import loop

TASK = "pointmaze-medium-navigate-task1"
LONGER = replace(CONFIG.critic.train, num_updates=100)
TINY = replace(CONFIG, policy=replace(CONFIG.policy, train=LONGER), critic=replace(CONFIG.critic, train=LONGER))


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """The smoke preset is tiny, and episodes take no time: those of even seeds succeed, the others with N_pi > 8.

    Gives the list of environments that were opened for them.
    """
    opened = []

    def open_envs(make_env, **sizes):
        opened.append(sizes)
        return contextlib.nullcontext(create_autospec(ParallelEnvs, instance=True))

    def run_episodes(envs, agent, settings, seeds, *, reward_timing):
        episodes = [
            Episode(s, seed, 0.0, seed % 2 == 0 or s.num_candidates > 8, 9, "pre") for s in settings for seed in seeds
        ]
        return Rollout(episodes, 0.0, 0.0)

    monkeypatch.setattr(presets, "_smoke", lambda: TINY)
    monkeypatch.setattr(evaluation, "open_envs", open_envs)
    monkeypatch.setattr(evaluation, "run_episodes", run_episodes)
    monkeypatch.setattr(evaluation, "check_fits", lambda *_: None)
    return opened


def small(*methods, **options) -> Suite:
    return Suite.of([TASK], methods, **{"preset": "smoke", "episodes_of_data": 1, **options})


def refuse(*_, **__):
    raise AssertionError("made again")


def test_jobs_go_dataset_by_dataset_cheap_ones_first_and_each_once():
    jobs = Suite.of(preset="smoke", seeds=(0, 1)).jobs
    names = [job.name for job in jobs]
    assert len(names) == len(set(names)) == 25 * len(METHODS) * 2
    assert [job.task.dataset for job in jobs] == [f"{name}-v0" for name in SUITE for _ in range(5 * len(METHODS) * 2)]
    assert names[:6] == [f"pointmaze-medium-navigate-task{n}, base, seed 0" for n in range(1, 6)] + [
        "pointmaze-medium-navigate-task1, evor, seed 0"
    ]
    some = Suite.of(["scene-play-task2", "cube-single-play", "scene-play-task2"], ["evor"], preset="smoke").jobs
    assert [job.task.name[:-3] for job in some] == [
        *(f"cube-single-play-singletask-task{n}" for n in range(1, 6)),
        "scene-play-singletask-task2",
    ]
    assert some[-1].command() == "evor suite --tasks scene-play-task2 --methods evor --seeds 0 --preset smoke"


@pytest.mark.parametrize(
    ("task", "common"), [(TASK, MAZES), ("cube-single-play-task2", ARMS), ("scene-play-task2", SCENE)]
)
def test_methods_differ_in_their_line_of_the_table_only(task, common):
    laptop = presets.preset("laptop")
    network = replace(laptop.policy.network, **common.network, **POLICY_NETWORK)
    updates = replace(laptop.policy.train, num_updates=25_000 * common.policy_effort)
    policy = replace(laptop.policy, seed=3, network=network, train=updates)
    critic = replace(laptop.critic, seed=3, network=replace(laptop.critic.network, **common.network), **common.critic)
    effort, train_on_few = common.critic_effort, replace(critic.train, **common.critic_train)
    critic = replace(critic, train=replace(train_on_few, num_updates=12_000 * effort, learning_rate=1e-3))
    train_on_few = replace(train_on_few, num_updates=train_on_few.num_updates * effort)
    for job in Suite.of([task], seeds=(3,)).jobs:
        method = METHODS[job.method]
        assert job.config.policy == replace(policy, chunk_length=method.chunk_length or laptop.policy.chunk_length)
        found, kind = job.config.critic, critic_config(method.critic)
        expected = {each.name: getattr(critic, each.name) for each in fields(kind) if hasattr(critic, each.name)}
        network_kind = type(found.network)
        sizes = {each.name: getattr(critic.network, each.name) for each in fields(network_kind)}
        expected |= {"network": network_kind(**sizes), **method.critic_fields}
        if job.method in ("qc1", "qc5"):
            expected |= {"n_step": method.chunk_length, "next_draw": "best"}
        assert found == kind(**expected)
        assert job.config.data.num_episodes is None  # as many as were published
        assert job.config.gamma == common.gamma
        assert job.config.inference == replace(laptop.inference, **(temperatures(parse_task(task)) | method.inference))
    few, more = (Suite.of([task], ["evor"], episodes_of_data=num).jobs[0] for num in (200, 250))
    assert few.config.critic.train == train_on_few and more.config.critic.train == critic.train


def test_scene_has_a_longer_discount_and_more_updates_and_its_sparse_reward_has_not():
    (job,) = Suite.of(["scene-play-task4"], ["evor"]).jobs
    train = job.config.critic.train
    assert (job.config.gamma, train.num_updates, train.ema_rate) == (0.999, 24_000, 0.02)
    assert recipe(parse_task("scene-play-sparse-task4")) is ARMS and ARMS.gamma is None


@pytest.mark.parametrize("task", [task for name in DATASETS for task in (f"{name[:-3]}-task1", f"{name[:-3]}-sparse")])
def test_temperatures_are_shares_of_the_range_of_returns_at_the_tasks_own_discount(task):
    task = parse_task(task)
    shares = (0.1, 0.001) if recipe(task) is MAZES else (0.01, 0.01)
    conditions = 1 if task.reward == "sparse" else task.num_conditions
    expected = [share * conditions / (1 - task.gamma) for share in shares]
    np.testing.assert_allclose(list(temperatures(task).values()), expected, rtol=1e-9)


def test_its_rows_are_those_of_its_own_tasks_methods_and_seeds(tmp_path):
    own = make_row(method="base")
    others = [make_row(), make_row(method="base", seed=1), make_row("scene-play-sparse-singletask-task1-v0", "base")]
    some = replace(Suite.of([TASK], ["base"]), results=tmp_path / "results.csv")
    assert some.rows() == []
    put_rows(some.results, [own, *others])
    assert some.rows() == [own]


def test_curves_are_evaluated_at_the_end_of_training_only():
    base, evor = small("base", "evor").jobs
    assert base.config.inference.num_candidates == 1
    assert set(base.settings()) == {80, 90, None} and base.settings()[None] == [base.config.inference]
    reported, *others = evor.settings()[None]
    assert reported == evor.config.inference and reported not in others
    assert {s.num_candidates for s in others} == {*CANDIDATES}  # temperatures are moved at the reported 4
    assert {s.tau_r for s in others} == {*TAUS_R} and {s.tau_q for s in others} == {*TAUS_Q}
    assert len(others) == len(CANDIDATES) - 1 + len(TAUS_R) - 1 + len(TAUS_Q) - 1
    assert {**evor.settings(), None: []} == {step: [reported] for step in (10, 20, 40, 60, 80, 90)} | {None: []}


def test_in_depth_is_the_first_task_of_a_dataset():
    tasks = [TASK, "pointmaze-medium-navigate-task2"]
    first, second = Suite.of(tasks, ["evor"], preset="smoke", episodes_of_data=1).jobs
    assert [first.in_depth, second.in_depth] == [True, False]
    assert set(second.settings()) == {80, 90, None} and len(second.settings()[None]) == len(CANDIDATES)
    source = Source("pointmaze-medium-navigate-v0", "generated", Path("none.npz"), "1a2b", {})
    cases = [case for step in (10, 60, 80, None) for case in first.cases(source, step)]
    assert [case.reported for case in cases] == [0, 0, 1, 1] + [0] * (len(cases) - 4)
    (slow,) = Suite.of(tasks[1:], ["qc5"], preset="smoke", episodes_of_data=1).jobs
    assert set(slow.settings()) == {40, 80, 90, None}  # and one checkpoint more for a method that takes longer


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="unknown method 'evar': expected some of base, evor"):
        Suite.of(methods=["evar"])
    with pytest.raises(UserError, match="cube-singel-play"):
        Suite.of(["cube-singel-play-task1"])


def test_without_time_it_only_says_what_is_left(home, capsys):
    assert small("base", "evor").run(minutes=0) == 0
    said = capsys.readouterr().out
    assert "left: 2 of 2 jobs; the time is not known until a stage of each kind is done" in said
    assert "about" not in said and ".csv" not in said  # no file of results is there yet
    assert not list(home.iterdir())


def test_the_next_call_removes_what_a_killed_one_left_of_the_times(home, capsys):
    leftover = paths.runs_dir() / ".writing-suite-smoke-5episodes.cc5a9108.jsonl"
    leftover.parent.mkdir(parents=True)
    leftover.write_text("half a li")
    Suite.of([TASK], ["base"], preset="smoke", episodes_of_data=5).run(minutes=0)
    assert not leftover.exists()


def test_methods_with_other_data_than_others_in_the_record_are_named(home, capsys):
    task, other = parse_task(TASK).name, parse_task("cube-single-play-task1").name
    results = small("base").results
    put_rows(
        results, [make_row(task, "base"), make_row(other, "base"), make_row(other, dataset_fingerprint="feedbeef")]
    )
    small("base").run(0)
    assert "different data" not in capsys.readouterr().out
    put_rows(results, [make_row(task, "qc1", dataset_fingerprint="feedbeef")])
    small("base").run(0)
    said = "pointmaze-medium-navigate-v0: methods in the results had different data (generated:1a2b3c4d, generated:feed"
    assert said in capsys.readouterr().out


def test_time_left_is_the_median_of_the_kind_on_the_dataset_or_else_on_others():
    def station(dataset, method, name):
        return Station("critic", method, dataset, name)

    seconds = {station("maze", "evor", str(n)): float(n) for n in (1, 2, 30)} | {station("cube", "evor", "a"): 50.0}
    assert runner.time_left({station("maze", "evor", "x"), station("maze", "evor", "y")}, seconds) == (4.0, 0)
    left = {station("scene", "evor", "x"), station("scene", "c51", "x")}  # the median of 1, 2, 30, 50; and no other c51
    assert runner.time_left(left, seconds) == (16.0, 1)


@pytest.mark.slow
def test_a_finished_suite_is_found_and_its_record_can_be_made_again_from_its_runs(
    module_home, monkeypatch, capsys, opened
):
    made = small("base", "evor")
    results = made.results
    assert made.run() == 0
    assert f"all 2 jobs are done\nresults: {results}" in capsys.readouterr().out
    assert opened == [{"horizon": 5, "num_envs": 2}] * 2  # once for all checkpoints of a job
    common = temperatures(parse_task(TASK)).items()
    rows = {
        (row.case.method, row.case.num_candidates, row.case.step): row
        for row in read_results(results)
        if common <= vars(row.case).items() or row.case.method == "base"  # which has no use for temperatures
    }
    steps = (10, 20, 40, 60, 80, 90, 100)
    assert list(rows) == [("base", 1, step) for step in (80, 90, 100)] + [
        ("evor", n, step) for n in CANDIDATES for step in (steps if n == 4 else (100,))
    ]
    for (method, num, step), row in rows.items():
        assert row.case.reported == (step >= 80 and (method == "base" or num == 4))
        assert method != "base" or (row.case.tau_r, row.case.tau_q) == (math.inf, 0.0)
    assert [rows["evor", n, 100].success for n in CANDIDATES] == [0.5] * 4 + [1.0] * 3
    row, source = rows["evor", 4, 80], identity.find_source(made.jobs[0].task, made.jobs[0].config)
    assert isinstance(source, Source)
    assert (row.case.dataset_fingerprint, row.case.dataset_origin) == (source.fingerprint, "generated")
    assert 0 < row.wall_s <= rows["evor", 4, 100].wall_s + 0.1  # rounded to tenths
    assert row.command.endswith(f"--tasks {TASK} --methods evor --seeds 0 --preset smoke --episodes-of-data 1")
    assert row.case.run == made.jobs[1].run(source).name

    monkeypatch.setattr(loop, "fit", refuse)
    monkeypatch.setattr(evaluation, "run_episodes", refuse)
    with monkeypatch.context() as patch:
        patch.setattr(stages, "ensure_policy", refuse)
        assert made.run() == 0  # asks the results alone
    before = results.read_bytes()
    with monkeypatch.context() as patch:  # a fresh clone: the results are there, data and runs are not
        patch.setattr(stages, "ensure_policy", refuse)
        patch.setattr(paths, "runs_dir", lambda: module_home / "no runs")
        patch.setattr(paths, "data_dir", lambda: module_home / "data again")
        patch.setattr(stages, "ensure_critics", refuse)
        assert made.run() == 0
        seeds = small("evor", seeds=(0, 1))
        assert seeds._other_seeds(seeds.jobs[1]) == []
    assert results.read_bytes() == before
    results.unlink()
    assert made.run() == 0  # asks the run folders
    assert results.read_bytes() == before


@pytest.mark.slow
def test_episodes_of_the_base_policy_alone_say_which_weights_acted(module_home):
    made = small("base")
    assert made.run() == 0
    (job,) = made.jobs
    run = job.run(job.source())
    for step in job.settings():
        expected = models_digest(loading.load_policy(run, step).model, None)
        path = evaluation.results_path(run, job.task, step)
        assert {row["models"] for row in read_lines(path, evaluation._of(path))} == {expected}


@pytest.mark.slow
def test_a_suite_that_is_stopped_at_any_moment_ends_with_the_same_record(module_home, monkeypatch):
    undisturbed = small("scalar")
    assert undisturbed.run() == 0

    class Countdown(Deadline):
        """Time for nine looks at the clock."""

        left = 9

        def check(self, *_):
            self.left -= 1
            if self.left < 0:
                raise TimeUp

    again = module_home / "again"
    shutil.copytree(module_home / "data", again / "data")
    monkeypatch.setenv("EVOR_HOME", str(again))
    monkeypatch.setattr(runner, "Deadline", Countdown)
    stopped, sittings = small("scalar"), 0
    while stopped.left():
        assert stopped.run(minutes=1) == 0
        sittings += 1
        assert sittings < 10
    assert sittings > 3  # 20 blocks of updates, the bank, episodes at 3 checkpoints
    expected = [row for row in undisturbed.rows() if row.case.method == "scalar"]
    assert [replace(row, wall_s=0.0) for row in stopped.rows()] == [replace(row, wall_s=0.0) for row in expected]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [UserError, jax.errors.JaxRuntimeError])
def test_a_job_that_fails_does_not_stop_the_others(kind, module_home, monkeypatch, capsys):
    def fail(task, configs):
        raise kind("it diverged")

    monkeypatch.setattr(stages, "ensure_critics", fail)
    some = small("base", "gaussian", tuning=True)  # not the results of the other tests
    assert replace(some, jobs=some.jobs[::-1]).run() == 1
    said = capsys.readouterr().out
    assert f"{TASK}, gaussian, seed 0: failed, it diverged" in said and "left: 1 of 2 jobs" in said
    assert {row.case.method for row in some.rows()} == {"base"}


@pytest.mark.slow
def test_the_critics_of_all_seeds_are_trained_together_and_done(module_home, capsys):
    seeds = small("gaussian", seeds=(0, 1, 2))
    assert seeds.run(until="critic") == 0
    runs = [job.run(job.source()) for job in seeds.jobs]
    assert [run.manifest["num_seeds"] for run in runs] == [3, 3, 3]
    assert seeds.run() == 0 and "all 3 jobs are done" in capsys.readouterr().out
    critics = {station for station in runner.timed(seeds._times) if station[:2] == ("critic", "gaussian")}
    assert {f"{TASK}, gaussian, seed {seed}" for seed in range(3)} == {station.name for station in critics}


@pytest.mark.slow
def test_tuning_has_episodes_and_a_record_of_its_own(module_home):
    tuning = small("base", tuning=True)
    assert tuning.results != small("base").results
    assert tuning.run() == 0
    assert {row.case.evaluation_seed for row in tuning.rows()} == {TUNING_SEED}
    with pytest.raises(UserError, match=f"expected {REPORTED_SEED}"):
        read_results(tuning.results)


def test_results_that_cannot_be_written_are_refused_before_anything_is_made(home, monkeypatch):
    suite = Suite.of([TASK], ["base"], preset="smoke", episodes_of_data=1)
    (home / "figures").write_text("a file where the folder should be")
    assert suite.run(minutes=0) == 0  # it only prints what is left
    monkeypatch.setattr(Suite, "_do", lambda *_: pytest.fail("a job began"))
    with pytest.raises(UserError, match=r"results: got .*, where nothing can be written"):
        suite.run()
