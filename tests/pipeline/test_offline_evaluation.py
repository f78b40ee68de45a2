"""Agents that are evaluated by data alone, against values that are known."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import evor_eqx as evor
from evor_eqx.config import InferenceConfig, NetworkConfig, TrainConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.errors import UserError
from evor_eqx.evaluation.statistics import Interval
from evor_eqx.pipeline import offline_evaluation
from evor_eqx.pipeline.offline_evaluation import OfflineEvaluation
from evor_eqx.presets import with_critic

pytestmark = pytest.mark.slow
TRAIN = TrainConfig(
    num_updates=1500, batch_size=64, log_every=100, checkpoint_every=500, learning_rate=3e-3, decay=True
)
QUICK = replace(
    tiny.CONFIG, policy=replace(tiny.CONFIG.policy, chunk_length=1), critic=replace(tiny.CONFIG.critic, n_step=1)
)


def config_of(gamma_rate=0.05):
    """A budget that fits the small problems below."""
    critic = with_critic(QUICK, "scalar", network=NetworkConfig(width=32, depth=2)).critic
    return replace(QUICK, critic=replace(critic, train=replace(TRAIN, ema_rate=gamma_rate), num_members=1))


def lottery(num_rows, seed, ended):
    """One-step episodes if `ended`, else one long one: observations and actions at random, the reward is the action."""
    rng = np.random.default_rng(seed)
    act = rng.uniform(0, 4, (num_rows, 1))
    last = np.arange(num_rows) == num_rows - 1
    obs = rng.normal(size=(num_rows + 1, 1))
    return evor.OfflineDataset.from_arrays(
        observations=obs[:-1],
        actions=act,
        rewards=act[:, 0],
        next_observations=obs[1:],
        terminals=np.full(num_rows, ended),
        timeouts=last & (not ended),
    )


@pytest.mark.parametrize("ended", [True, False])
def test_the_value_is_that_of_what_the_agent_chooses(home, ended):
    splits = (lottery(400, seed, ended) for seed in (0, 1))
    task = evor.custom_task("lottery", *splits, gamma=0.8, bounds=(0.0, 4.0))
    agent = evor.fit(task, QUICK)
    found = evor.evaluate_offline(agent, task, config_of())
    acts = agent.act(task.validation.obs[:400], key=jax.random.key(0))  # what it chooses anywhere
    expected = acts.mean() if ended else acts.mean() / (1 - 0.8)
    assert found.value.estimate == pytest.approx(expected, rel=0.1)
    assert found.num_episodes == (400 if ended else 1)
    assert ("CRPS" in str(found)) == (found.num_known > 0) and "assumes" in str(found)
    assert (
        (found.num_cut > 0) == (not ended)
        and found.num_cut <= found.num_known
        and ("cut off" in str(found)) == (not ended)
    )
    assert all((low == high) == ended or name == "held_out_coverage" for name, (low, high) in found.errors.items())
    assert max(map(len, str(found).splitlines())) <= 120


def test_it_says_why_no_return_is_known():
    found = OfflineEvaluation(2, Interval(-3.0, -4.0, -2.0), 0, 0, 0.98, {})
    assert "at most 5%, which takes 149 more" in str(found) and "smaller gamma" in str(found)


def test_an_offline_evaluation_is_found_again_and_depends_on_the_settings(home, monkeypatch):
    task = evor.custom_task("lottery", lottery(100, 0, True), lottery(40, 1, True), gamma=0.8)
    agent = evor.fit(task, QUICK)
    first = evor.evaluate_offline(agent, task, QUICK)
    monkeypatch.setattr(offline_evaluation, "fit_in_run", None)
    assert evor.evaluate_offline(agent, task, QUICK) == first
    with pytest.raises(TypeError):  # it would have to train
        evor.evaluate_offline(agent.replace(tau_q=2.0), task, QUICK)


def test_an_agent_of_another_task_or_without_a_critic_is_refused(home):
    task = evor.custom_task("lottery", lottery(100, 0, True), lottery(40, 1, True), gamma=0.8)
    with pytest.raises(UserError, match=r"agent for lottery: got one for .* size 2 .*expected sizes 1 and 1"):
        evor.evaluate_offline(tiny.tiny_exhibit().agent, task, QUICK)
    with pytest.raises(UserError, match="no critic"):
        evor.evaluate_offline(tiny.tiny_exhibit().agent.base_policy_agent(), task, QUICK)


class NumSteps(AbstractCritic):
    """Predicts the number of steps in flow time as the return."""

    def loss(self, target, example, *, key):
        raise NotImplementedError

    def distribution(self, obs, chunk, num_returns, num_steps):
        return ReturnDistribution.of_equal_weights(jnp.full(num_returns, 1.0 * num_steps))


def agent_for(task, chunk_length=1, **settings):
    """An untrained agent for a lottery."""
    agent = tiny.untrained(1, 1, chunk_length, InferenceConfig(num_candidates=2, **settings))
    return replace(agent, bounds=task.bounds)


@pytest.mark.parametrize("num_steps", [3, 10, 20])
def test_the_critic_is_compared_with_the_agents_own_number_of_flow_steps(monkeypatch, num_steps):
    task = evor.custom_task("lottery", lottery(100, 0, True), lottery(40, 1, True), gamma=0.8)
    agent = replace(agent_for(task, num_flow_steps=num_steps), critic=NumSteps())
    monkeypatch.setattr(offline_evaluation, "_fitted", lambda agent, *_: agent.critic)  # the value is of no interest
    error = num_steps - lottery(40, 1, True).act.mean()  # the action is the return
    assert evor.evaluate_offline(agent, task, QUICK).errors["held_out_error"] == pytest.approx((error, error), rel=1e-5)


def test_the_chunks_are_the_agents_and_no_shorter_n_step_of_the_configuration_is_in_their_way(home, monkeypatch):
    task = evor.custom_task("lottery", lottery(100, 0, False), lottery(40, 1, False), gamma=0.8)
    agent, h = agent_for(task, 2), 2
    found = evor.evaluate_offline(agent, task, QUICK)
    assert QUICK.critic.n_step == QUICK.policy.chunk_length == 1 and np.isfinite(found.value).all()
    policy, critic = replace(QUICK.policy, chunk_length=h), replace(QUICK.critic, n_step=h)
    monkeypatch.setattr(offline_evaluation, "fit_in_run", None)  # what follows is the same run
    assert evor.evaluate_offline(agent, task, replace(QUICK, policy=policy, critic=critic)) == found
