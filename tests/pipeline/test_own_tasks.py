"""Own data, environments, targets and rules through the whole pipeline: units, success, identity, worker processes."""

import functools
import linecache
import shutil
import sys
from dataclasses import replace

import equinox as eqx
import gymnasium
import jax
import numpy as np
import own
import pytest
import tiny

import evor_eqx as evor
from evor_eqx.config import EvaluationConfig
from evor_eqx.critics import flow_targets
from evor_eqx.errors import UserError
from evor_eqx.evaluation.recording import record
from evor_eqx.pipeline import evaluation, identity, loading, stages
from evor_eqx.pipeline.evaluation import Evaluator, results_path
from evor_eqx.runs.run import Run, all_runs

pytestmark = pytest.mark.slow
CONFIG = replace(
    tiny.CONFIG, policy=replace(tiny.CONFIG.policy, chunk_length=3), critic=replace(tiny.CONFIG.critic, n_step=5)
)


def line_task(**changes):
    train, validation = own.datasets()
    return evor.custom_task("line", train, validation, **{"make_env": own.line, "gamma": 0.9, **changes})


@pytest.fixture(scope="module")
def task(module_home):
    return line_task()


@pytest.fixture(scope="module")
def agent(task):
    return evor.fit(task, CONFIG)


def test_actions_are_in_the_units_of_the_environment_at_every_door(agent, task):
    obs = np.zeros(2)
    acts = np.concatenate([agent.act(obs, key=jax.random.key(seed)) for seed in range(40)])
    assert acts.shape == (40 * 3, 2)
    assert (acts >= own.LOW).all() and (acts <= own.HIGH).all() and np.ptp(acts[:, 0]) > 1.5
    decision = agent.decide(obs, key=jax.random.key(0))
    picked = decision.candidates[decision.index].reshape(3, 2)
    np.testing.assert_array_equal(picked, agent.act(obs, key=jax.random.key(0)))


def test_the_environment_gets_what_the_agent_decided(agent, task):
    taken = []

    class Spy(own.Line):
        def step(self, action):
            taken.append(np.array(action))
            return super().step(action)

    recording = record(agent, replace(task, make_env=Spy), seed=3)
    decided = np.concatenate([c[i].reshape(-1, 2) for c, i in zip(recording.candidates, recording.index, strict=True)])
    np.testing.assert_allclose(taken, decided[: len(taken)], rtol=1e-6)
    assert len(taken) == 20 and recording.path.shape == (21, 2) and not recording.terminated


def test_without_a_word_of_success_there_is_none_and_the_return_stands(agent, task):
    found = evor.evaluate(agent, task, num_episodes=2, num_envs=2)
    assert found.success is None and found.returns.estimate < 0
    assert str(found).startswith("return") and np.isnan(found.outcomes).all()


@pytest.mark.parametrize("key", ["success", "is_success"])
def test_success_is_read_by_either_name_from_an_environment_of_this_very_file(agent, key):
    class Said(own.Line):  # a worker process cannot import it: it travels by value
        says_success = key

    found = evor.evaluate(agent, line_task(make_env=lambda: Said(30)), num_episodes=3, num_envs=2)
    assert found.success is not None and all(episode.length == 30 for episode in found.episodes)
    starts = [own.Line().reset(seed=episode.seed)[0][0] for episode in found.episodes]
    for start, episode in zip(starts, found.episodes, strict=True):
        assert episode.success or abs(start) > 0.7  # from near 0 it does not leave at once


def test_episodes_are_kept_by_environment_discount_and_rule_and_asked_for_only_once(agent, task, monkeypatch):
    def best(value, tau_q):
        return (value == value.max()).astype(float)

    def all_equal(value, tau_q):
        return jax.numpy.where(value > -np.inf, 1.0, 0.0) / jax.numpy.sum(value > -np.inf)

    run, other = Run.named(agent.facts["run"]), line_task(make_env=lambda: own.Line(25))
    paths = [
        results_path(run, task),
        results_path(run, other),
        results_path(run, line_task(gamma=0.8)),
        results_path(run, task, selection=all_equal),
        results_path(run, task, selection=best),
    ]
    assert len(set(paths)) == len(paths)
    with_rule = agent.replace(selection=all_equal)
    first = evor.evaluate(with_rule, task, num_episodes=2, num_envs=2)
    monkeypatch.setattr(evaluation, "run_episodes", None)
    assert evor.evaluate(with_rule, task, num_episodes=2, num_envs=2) == first
    with pytest.raises(TypeError):  # it would have to run them
        evor.evaluate(agent.replace(selection=best), task, num_episodes=2, num_envs=2)


ENV_CELL = """
import own

SCALE = 1.0

class OfACell(own.Line):
    def step(self, action):
        obs, reward, *rest = super().step(action)
        return obs, SCALE * reward, *rest

def make():
    return OfACell()
"""


def test_an_environment_that_was_edited_runs_new_episodes(agent):
    """The task is made once, and its environment's number and class change after that: in workers they count."""
    import __main__

    def returns():
        return evor.evaluate(agent, task, num_episodes=1, num_envs=1).returns.estimate

    run_cell(ENV_CELL, 20)
    task = line_task(make_env=__main__.make)
    first = returns()
    __main__.SCALE = 2.0
    assert returns() == pytest.approx(2 * first)
    run_cell(ENV_CELL.replace("SCALE * reward", "3 * reward"), 21)
    task = line_task(make_env=__main__.make)
    assert returns() == pytest.approx(3 * first)
    __main__.SCALE = 1.0
    run_cell(ENV_CELL, 22)
    task = line_task(make_env=__main__.make)
    assert returns() == first and replace(task, make_env=own.line).env_identity != task.env_identity


def test_the_class_of_an_environment_counts_where_make_env_only_names_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def identity_of(code):
        (tmp_path / "own_registered.py").write_text(f"import own\nclass Mine(own.Line):\n    {code}")
        sys.modules.pop("own_registered", None)
        gymnasium.register("OwnRegistered-v0", "own_registered:Mine")
        try:
            return line_task(make_env=functools.partial(gymnasium.make, "OwnRegistered-v0")).env_identity
        finally:
            del gymnasium.registry["OwnRegistered-v0"]

    assert identity_of("speed = 1") != identity_of("speed = 10")


def test_what_the_registry_of_gymnasium_says_of_an_environment_counts():
    def identity_of(**registered):
        gymnasium.register("OwnLine-v0", own.Line, **registered)
        try:
            return line_task(make_env=functools.partial(gymnasium.make, "OwnLine-v0")).env_identity
        finally:
            del gymnasium.registry["OwnLine-v0"]

    settings = [{}, {"max_episode_steps": 5}, {"max_episode_steps": 9}, {"kwargs": {"length": 15}}]
    assert len({identity_of(**each) for each in settings}) == len(settings)


def test_a_version_belongs_to_its_task_alone():
    first = line_task(version="1")
    identity = first.env_identity
    line_task(version="2")
    assert first.env_identity == identity != line_task().env_identity


def test_an_agent_of_another_home_gets_no_episodes_of_this_one(agent, task, tmp_path, monkeypatch):
    """Its run has the same name here, and other weights; or there is no such run here at all."""
    folder = agent.save(tmp_path / "mine")
    evor.evaluate(agent, task, num_episodes=1, num_envs=1)
    monkeypatch.setattr(Run, "digest", lambda run: "another")
    monkeypatch.setattr(
        evaluation, "_read", lambda path, models: {} if path is None else pytest.fail("kept ones are read")
    )
    assert evor.evaluate(evor.load_agent(folder), task, num_episodes=1, num_envs=1).episodes
    monkeypatch.setenv("EVOR_HOME", str(tmp_path / "elsewhere"))
    assert evor.evaluate(evor.load_agent(folder), task, num_episodes=1, num_envs=1).episodes


def test_an_agent_with_other_models_does_not_get_the_episodes_of_its_run(agent, task):
    def path(changed):
        evor.evaluate(changed, task, num_episodes=1, num_envs=1)
        return {file for run in all_runs() for file in (run.path / "results").glob("*")}

    kept = path(agent)
    models = jax.tree.map(
        lambda leaf: leaf + 0.01 if eqx.is_inexact_array(leaf) else leaf, (agent.policy, agent.critic)
    )
    for changes in ({"policy": models[0]}, {"critic": models[1]}, {"critic": None}):
        changed = replace(agent, **changes)
        with Evaluator(task, EvaluationConfig(1, 10_000, 1), 3) as evaluator:
            (expected,) = evaluator.evaluate(changed, [changed.inference])
        assert evor.evaluate(changed, task, num_episodes=1, num_envs=1) == expected and path(changed) == kept
    (of_base,) = path(agent.base_policy_agent()) - kept
    assert of_base.parents[1].name == agent.facts["policy_run"].rpartition("/")[2]


def test_an_agent_of_another_task_is_refused_by_its_sizes_and_its_bounds(agent, task, module_home):
    train, validation = (replace(each, act=np.clip(each.act, (-1, 0), (1, 0.2))) for each in own.datasets())
    narrow = evor.custom_task("narrow", train, validation, make_env=own.line, gamma=0.9, bounds=((-1, 0), (1, 0.25)))
    for ask in (
        lambda: evor.evaluate(agent, narrow, num_episodes=1, num_envs=1),
        lambda: evor.evaluate_offline(agent, narrow, CONFIG),
        lambda: evor.explore(agent, narrow),
    ):
        with pytest.raises(UserError, match=r"agent (was made )?for (narrow|line)"):
            ask()
    with pytest.raises(UserError, match=r"agent for cube-single.*lie in \[-2, 2\].*give an agent of cube"):
        evor.evaluate(agent, evor.parse_task("cube-single-play-task2"), num_episodes=1, num_envs=1)


def test_an_agent_comes_back_with_its_bounds_and_its_rule(agent, tmp_path):
    def best(value, tau_q):
        return (value == value.max()).astype(float)

    obs, key = np.zeros(2), jax.random.key(1)
    folder = agent.replace(selection=best).save(tmp_path / "mine")
    with pytest.raises(UserError, match=r"selection rule .*best.*give load_agent\(..., selection="):
        evor.load_agent(folder)
    loaded = evor.load_agent(folder, selection=best)
    top = agent.replace(selection=functools.partial(fixed_share, 2)).save(tmp_path / "partial")
    assert evor.load_agent(top, selection=functools.partial(fixed_share, 2)).selection.args == (2,)
    with pytest.raises(UserError, match="was saved with the selection rule"):
        evor.load_agent(top, selection=functools.partial(fixed_share, 3))
    np.testing.assert_array_equal(loaded.act(obs, key=key), agent.replace(selection=best).act(obs, key=key))
    assert loaded.bounds == agent.bounds
    plain = evor.load_agent(agent.save(tmp_path / "plain"))
    np.testing.assert_array_equal(plain.act(obs, key=key), agent.act(obs, key=key))


CELL = '''
import evor_eqx as evor

GAIN = 1.0  # of the end of the path

def shift(z):
    return GAIN * z

@evor.register_flow_target("from_a_cell")
def from_a_cell(step, z_0, t, *, key):
    """A target in a notebook's cell."""
    z_1 = shift(step.backup(step.transport(z_0)))
    return (1 - t) * z_0 + t * z_1, z_1 - z_0
'''


def run_cell(source, number):
    """Run a cell as a notebook's kernel does: in `__main__`, with its lines known to `linecache`."""
    import __main__

    name = f"<cell {number}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), __main__.__dict__)


def test_an_edited_cell_trains_anew_and_an_edited_comment_does_not(task):
    try:
        run_cell(CELL, 1)
        config = replace(CONFIG, critic=replace(CONFIG.critic, target="from_a_cell"))
        first = stages.ensure_critic(task, config)
        run_cell(CELL.replace("# of the end of the path", "# anything").replace("A target in", "Something in"), 2)
        assert stages.ensure_critic(task, config).run == first.run
        run_cell(CELL.replace("GAIN = 1.0", "GAIN = 0.5"), 3)
        assert stages.ensure_critic(task, config).run != first.run
        run_cell(CELL, 4)
        assert stages.ensure_critic(task, config).run == first.run
    finally:
        flow_targets.TARGETS.pop("from_a_cell", None)


def test_a_number_that_the_code_reads_is_not_compiled_in(task):
    """The cell with the function stays as it is, and JAX has compiled the function; only the constant changes."""
    import __main__

    def weights(run):
        return jax.tree.leaves(loading.load_critic(run, config=config.critic).model)

    try:
        run_cell(CELL, 7)
        config = replace(CONFIG, critic=replace(CONFIG.critic, target="from_a_cell", seed=3))
        first = stages.ensure_critic(task, config).run
        __main__.GAIN = 0.25
        changed = stages.ensure_critic(task, config).run
        assert changed != first
        kept = [np.array(leaf) for leaf in weights(changed)]
        assert any((leaf != other).any() for leaf, other in zip(kept, weights(first), strict=True))
        shutil.rmtree(changed.path)
        jax.clear_caches()
        again = stages.ensure_critic(task, config).run
        assert again == changed
        for leaf, expected in zip(weights(again), kept, strict=True):
            np.testing.assert_array_equal(leaf, expected)
    finally:
        flow_targets.TARGETS.pop("from_a_cell", None)


def test_a_rule_that_reads_a_number_follows_it(agent):
    rule = TopK(1)
    few = agent.replace(selection=rule).decide(np.zeros(2), key=jax.random.key(0))
    rule.k = 3
    more = agent.replace(selection=rule).decide(np.zeros(2), key=jax.random.key(0))
    assert (np.asarray(few.weights) > 0).sum() == 1 and (np.asarray(more.weights) > 0).sum() == 3


def fixed_share(num, value, tau_q):
    return jax.numpy.where(jax.numpy.argsort(jax.numpy.argsort(-value)) < num, 1 / num, 0.0)


class TopK:
    """A rule with a number that can be changed."""

    def __init__(self, k):
        self.k = k

    def __call__(self, value, tau_q):
        rank = jax.numpy.argsort(jax.numpy.argsort(-value))
        return jax.numpy.where(rank < self.k, 1 / self.k, 0.0)


def test_a_critic_that_was_made_by_other_code_is_not_handed_out(task, tmp_path):
    try:
        run_cell(CELL, 5)
        config = replace(CONFIG, critic=replace(CONFIG.critic, target="from_a_cell"))
        agent = stages.ensure_agent(task, config)
        folder = agent.save(tmp_path / "mine")
        assert evor.load_agent(folder).critic_config == config.critic
        run_cell(CELL.replace("GAIN = 1.0", "GAIN = 0.5"), 6)
        for ask in (lambda: evor.load_agent(folder), lambda: evor.evaluate(agent, task, num_episodes=1, num_envs=1)):
            with pytest.raises(UserError, match="made by other code of from_a_cell"):
                ask()
        del flow_targets.TARGETS["from_a_cell"]
        with pytest.raises(UserError, match="run the code that registers it first"):
            evor.load_agent(folder)
    finally:
        flow_targets.TARGETS.pop("from_a_cell", None)


def test_an_own_target_is_traced_as_often_as_a_built_in_one(task, monkeypatch):
    counts = {"bootstrap": 0, "counted": 0}
    plain = flow_targets.TARGETS["bootstrap"]

    def counting(name):
        def target(step, z_0, t, *, key):
            counts[name] += 1
            return plain(step, z_0, t, key=key)

        return target

    monkeypatch.setitem(flow_targets.TARGETS, "bootstrap", counting("bootstrap"))
    monkeypatch.setitem(flow_targets.TARGETS, "counted", counting("counted"))
    for name in counts:
        critic = replace(CONFIG.critic, target=name, seed=9)
        stages.ensure_critic(task, replace(CONFIG, critic=critic))
    assert counts["counted"] == counts["bootstrap"] > 0


def test_a_run_of_own_data_names_data_bounds_and_code(task, agent):
    (run,) = [run for run in all_runs() if run.name == agent.facts["run"]]
    assert run.config["origin"] == "own" and run.config["fingerprint"] == task.source.fingerprint
    policy = identity.policy_run(task.source, CONFIG)
    assert policy.config["bounds"] == {"low": list(own.LOW), "high": list(own.HIGH)}
