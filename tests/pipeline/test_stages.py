"""The whole way at a tiny size on real physics: each stage is made once."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from tiny import CONFIG, TASK

from evor_eqx.critics.registry import critic_names
from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.pipeline import evaluation, identity, loading, stages
from evor_eqx.pipeline.evaluation import evaluate_settings
from evor_eqx.presets import with_critic
from evor_eqx.training import loop
from evor_eqx.zoo.exhibits import Exhibit


@pytest.mark.slow
def test_every_station_is_made_once_and_then_found(module_home, monkeypatch):
    critic = stages.ensure_critic(TASK, CONFIG)
    assert critic.run.complete and stages.ensure_policy(TASK, CONFIG).run.complete

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(loop, "fit", refuse)
    again = stages.ensure_critic(TASK, CONFIG)
    assert again.run == critic.run
    for leaf, other in zip(jax.tree.leaves(again.model), jax.tree.leaves(critic.model), strict=True):
        np.testing.assert_array_equal(leaf, other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in critic_names() if kind != "flow"])
def test_every_critic_goes_the_same_way(module_home, kind):
    config = with_critic(CONFIG, kind, n_step=CONFIG.policy.chunk_length, num_bank_draws=3)
    trained = stages.ensure_critic(TASK, config)
    again = loading.load_critic(trained.run)
    for leaf, other in zip(jax.tree.leaves(again.model), jax.tree.leaves(trained.model), strict=True):
        np.testing.assert_array_equal(leaf, other)
    metrics = trained.run.metrics()
    assert {"val_loss", "held_out_error", "held_out_crps"} <= set(metrics)
    assert all(np.isfinite(column).all() for column in metrics.values())


@pytest.mark.slow
def test_a_run_says_what_made_it(module_home):
    run = stages.ensure_critic(TASK, CONFIG).run
    source = identity.ensure_source(TASK, CONFIG)
    assert run.config["fingerprint"] == source.fingerprint and run.config["origin"] == "generated"
    assert run.config["task"] == TASK.name and run.config["gamma"] == 0.99
    assert run.config["policy_run"] == stages.ensure_policy(TASK, CONFIG).run.name
    manifest = run.manifest
    assert {"ogbench", "mujoco", "jax"} <= set(manifest["versions"]) and manifest["device"]
    assert manifest["fingerprint"] == source.fingerprint and manifest["seed"] == 0
    assert manifest["data_reward_timing"] == "pre"
    assert all(np.isfinite(column).all() for column in run.metrics().values())


@pytest.mark.slow
def test_episodes_are_paired_kept_and_never_run_twice(module_home, monkeypatch):
    settings = [replace(CONFIG.inference, num_candidates=n) for n in (1, 2)]
    agent = stages.ensure_agent(TASK, CONFIG)
    results = evaluate_settings(agent, TASK, CONFIG.evaluation, settings)
    seed = CONFIG.evaluation.seed
    assert [[e.seed for e in r.episodes] for r in results] == [[seed, seed + 1]] * 2
    base_agent = stages.ensure_base_agent(TASK, CONFIG)
    (base,) = evaluate_settings(base_agent, TASK, CONFIG.evaluation, [base_agent.inference])
    # N_pi = 1 is the base policy: the same noise, so the same episodes, with or without a critic.
    assert [(e.length, e.ret) for e in base.episodes] == [(e.length, e.ret) for e in results[0].episodes]

    monkeypatch.setattr(evaluation, "open_envs", lambda *_, **__: pytest.fail("ran again"))
    again = evaluate_settings(agent, TASK, CONFIG.evaluation, settings)
    assert [r.episodes for r in again] == [r.episodes for r in results]


@pytest.mark.slow
def test_reward_timing_keeps_its_own_records(module_home):
    task, agent = parse_task(TASK.name, "post"), stages.ensure_base_agent(TASK, CONFIG)
    (result,) = evaluate_settings(agent, task, CONFIG.evaluation, [agent.inference])
    assert {episode.reward_timing for episode in result.episodes} == {"post"}
    names = [path.stem for path in (stages.ensure_policy(TASK, CONFIG).run.path / "results").iterdir()]
    assert sorted(name.split("-")[-2] for name in names) == ["post", "pre"]


@pytest.mark.slow
def test_a_finished_run_without_its_checkpoint_is_named(module_home):
    run = stages.ensure_policy(TASK, CONFIG).run
    checkpoint = run.path / "checkpoint.eqx"
    kept, metrics = checkpoint.rename(run.path / "kept"), (run.path / "metrics.jsonl").read_text()
    with pytest.raises(UserError, match=f"no checkpoint in .*{run.path.name}.*delete the folder"):
        loading.load_policy(run)
    assert (run.path / "metrics.jsonl").read_text() == metrics
    kept.rename(checkpoint)
    assert loading.load_policy(run).run == run


@pytest.mark.slow
def test_the_discount_is_the_agents(module_home):
    """It names the critic's run and is kept with the agent. The base policy has none; the task's own is no other."""
    far = replace(CONFIG, gamma=0.95)
    usual, agent = stages.ensure_critic(TASK, CONFIG), stages.ensure_agent(TASK, far)
    assert stages.ensure_critic(TASK, replace(CONFIG, gamma=TASK.gamma)).run == usual.run
    assert stages.ensure_critic(TASK.with_discount(0.95), CONFIG).run.name == agent.facts["run"] != usual.run.name
    assert stages.ensure_policy(TASK, far).run == stages.ensure_policy(TASK, CONFIG).run
    assert agent.facts["gamma"] == 0.95 and stages.ensure_agent(TASK, CONFIG).facts["gamma"] == 0.99
    assert Exhibit.of(agent, TASK).task.gamma == 0.95
    # Rewards are -1 at each step, so no return is below -1 / (1 - gamma), and the critic knows it.
    members = [stages.ensure_critic(TASK, config).model.members for config in (CONFIG, far)]
    np.testing.assert_allclose([np.min(each.scale.low) for each in members], [-100, -20], rtol=1e-4)


@pytest.mark.parametrize("gamma", [1.0, -0.1, 2.0, float("nan")])
def test_a_discount_outside_of_0_to_1_is_refused(gamma):
    with pytest.raises(UserError, match=f"gamma is {gamma}: expected 0.0 to 0.99999"):
        replace(CONFIG, gamma=gamma)
