"""An evaluation's success and return with their intervals, and episodes that are kept by a file."""

import contextlib
from dataclasses import replace
from unittest.mock import create_autospec

import numpy as np
import pytest
import tiny

from evor_eqx.config import EvaluationConfig, InferenceConfig
from evor_eqx.envs.vector import ParallelEnvs
from evor_eqx.evaluation.episodes import Episode, Rollout
from evor_eqx.pipeline import evaluation
from evor_eqx.pipeline.evaluation import Evaluation, Evaluator

SETTING = InferenceConfig(num_candidates=4)


def episode(seed: int, inference: InferenceConfig = SETTING) -> Episode:
    return Episode(inference, seed, -float(10 + seed), seed % 2 == 0, 9, "pre")


@pytest.fixture
def asked(monkeypatch):
    """The (setting, seed) pairs that were run, in a world where episodes take no time."""
    asked = []

    def run_episodes(envs, agent, settings, seeds, *, reward_timing):
        asked.extend((setting, seed) for setting in settings for seed in seeds)
        return Rollout([episode(seed, setting) for setting in settings for seed in seeds], 0.0, 0.0)

    envs = create_autospec(ParallelEnvs, instance=True)
    monkeypatch.setattr(evaluation, "open_envs", lambda make_env, **sizes: contextlib.nullcontext(envs))
    monkeypatch.setattr(evaluation, "run_episodes", run_episodes)
    monkeypatch.setattr(evaluation, "check_fits", lambda *_: None)
    return asked


def test_success_and_return_stand_beside_each_other_with_their_intervals():
    found = Evaluation(SETTING, [episode(seed) for seed in range(9)])
    assert found.success.estimate == pytest.approx(5 / 9) and found.returns.estimate == pytest.approx(-14)
    assert 0 < found.success.low < 5 / 9 < found.success.high < 1
    # A plain percentile bootstrap with other draws.
    draws = np.random.default_rng(7).choice(-10.0 - np.arange(9), size=(20_000, 9)).mean(axis=1)
    np.testing.assert_allclose(found.returns[1:], np.quantile(draws, [0.025, 0.975]), atol=0.15)
    assert "success 56 %" in str(found).replace("%", " %") and "return -14.0" in str(found)
    assert "\n" not in str(found)


def test_only_missing_episodes_are_run_and_settings_with_equal_counts_run_together(asked, tmp_path):
    agent, config = tiny.tiny_exhibit().agent, EvaluationConfig(num_episodes=2, seed=5, num_envs=2)
    other = replace(SETTING, tau_r=1.0)
    with Evaluator(tiny.TASK, config, agent.chunk_length) as evaluator:
        first = evaluator.evaluate(agent, [SETTING], tmp_path / "episodes.jsonl")
        both = evaluator.evaluate(agent, [other, SETTING], tmp_path / "episodes.jsonl")
    assert asked == [(SETTING, 5), (SETTING, 6), (other, 5), (other, 6)]
    assert both[1] == first[0] and [each.inference for each in both] == [other, SETTING]
    with Evaluator(tiny.TASK, replace(config, num_episodes=3), agent.chunk_length) as evaluator:
        evaluator.evaluate(agent, [SETTING], tmp_path / "episodes.jsonl")
    assert asked[4:] == [(SETTING, 7)]


def test_without_a_file_every_episode_is_run(asked):
    agent, config = tiny.tiny_exhibit().agent, EvaluationConfig(num_episodes=1, seed=0, num_envs=1)
    with Evaluator(tiny.TASK, config, agent.chunk_length) as evaluator:
        evaluator.evaluate(agent, [SETTING])
        evaluator.evaluate(agent, [SETTING])
    assert asked == [(SETTING, 0)] * 2
