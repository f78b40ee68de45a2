"""One recorded episode against the evaluation's record, against naive sums, and against OGBench's own pictures."""

import dataclasses

import numpy as np
import pytest
from tiny import exhibit_without_data

from evor_eqx.agent import decision
from evor_eqx.config import InferenceConfig
from evor_eqx.envs import rendering
from evor_eqx.envs.ogbench import maze_layout
from evor_eqx.envs.tasks import parse_task
from evor_eqx.envs.vector import open_envs
from evor_eqx.errors import UserError
from evor_eqx.evaluation.episodes import Episode
from evor_eqx.evaluation.recording import Recording, record
from evor_eqx.evaluation.rollout import decision_keys, run_episodes

MAZE, ARM = "pointmaze-medium-navigate-task1", "cube-single-play-task2"


def recorded(exhibit, seed=3, **options):
    return record(exhibit.agent, exhibit.task, seed, **options)


@pytest.fixture(scope="module")
def maze():
    return exhibit_without_data(MAZE)


@pytest.fixture(scope="module")
def recording(maze):
    return recorded(maze, frames=False)


@pytest.mark.parametrize("name", [MAZE, ARM])
def test_a_recording_is_the_episode_that_the_evaluation_runs(name):
    exhibit = exhibit_without_data(name)
    with open_envs(exhibit.task.make_env, horizon=5, num_envs=1) as envs:
        evaluated = run_episodes(envs, exhibit.agent, [exhibit.agent.inference], [3]).episodes[0]
    seen = recorded(exhibit, frames=False)
    assert seen.episode == evaluated
    assert len(seen.reward) == evaluated.length == len(seen.path) - 1
    assert seen.reward.sum() == pytest.approx(evaluated.ret)


def test_every_decision_is_the_one_that_inference_makes_there(maze, recording):
    number = 7
    (key,) = decision_keys(np.array([3], np.uint32), np.array([number], np.uint32))
    one = maze.agent.decide(recording.obs[number], key=key)
    for name in ("candidates", "value", "weights"):
        np.testing.assert_allclose(getattr(recording, name)[number], getattr(one, name), atol=1e-5, err_msg=name)
    assert recording.index[number] == one.index
    np.testing.assert_allclose(recording.atoms[number], one.distribution.atoms[one.index], atol=1e-5)
    assert recording.picked_value[number] == pytest.approx(float(one.value[one.index]), abs=1e-5)
    np.testing.assert_allclose(recording.distribution_weights.sum(axis=1), 1, atol=1e-5)


def test_the_path_is_where_the_observations_were_and_stays_in_the_maze(maze, recording):
    np.testing.assert_allclose(recording.path[recording.step], recording.obs, atol=1e-5)
    assert recording.step.tolist() == list(range(0, recording.episode.length, 5))
    np.testing.assert_array_equal(recording.goals, maze_layout(maze.task).goal[None])


def example(reward, success):
    """A recording of which only the rewards matter; decisions at steps 0 and 2."""
    return Recording(
        task=parse_task(MAZE),
        episode=Episode(InferenceConfig(), 0, sum(reward), success, len(reward), "pre"),
        step=np.array([0, 2]),
        candidates=np.zeros((2, 1, 2)),
        index=np.zeros(2, int),
        reward=np.array(reward),
        terminated=success,
        path=np.zeros((len(reward) + 1, 2)),
        goals=np.zeros((1, 2)),
        **{name: np.zeros((2, 1)) for name in ("obs", "value", "weights", "atoms", "distribution_weights")},
        frames=None,
        layout=None,
        act_size=2,
    )


def test_the_realised_return_is_the_discounted_sum_of_what_followed():
    solved, cut = example([-1.0, -1.0, -1.0, 0.0], True), example([-1.0, -2.0, -4.0, -8.0], False)
    g = solved.task.gamma
    for end in ("low", "high"):
        np.testing.assert_allclose(getattr(solved.return_to_go, end), [-1 - g - g**2, -1])
    recorded = np.array([-1 - 2 * g - 4 * g**2 - 8 * g**3, -4 - 8 * g])
    np.testing.assert_allclose(cut.return_to_go.high, recorded)  # the goal at once, after the time limit
    np.testing.assert_allclose(cut.return_to_go.low, recorded - np.array([g**4, g**2]) / (1 - g))  # never
    assert solved.return_to_go.is_complete.all() and not cut.return_to_go.is_complete.any()


def test_returns_are_discounted_as_the_agents_critic_learned_them(maze):
    agent = dataclasses.replace(maze.agent, facts={**maze.agent.facts, "gamma": 0.9})
    seen = record(agent, parse_task(MAZE), 3, frames=False)
    assert seen.task == parse_task(MAZE).with_discount(0.9)
    of_all = np.sum(0.9 ** np.arange(len(seen.reward)) * seen.reward)
    np.testing.assert_allclose(seen.return_to_go.high[0], of_all, rtol=1e-5)  # 0 is the largest that may follow


@pytest.mark.parametrize("name", [MAZE, ARM])
def test_frames_change_nothing_and_show_the_state_of_their_decision(name):
    exhibit = exhibit_without_data(name, chunk_length=50)
    blind, seen = recorded(exhibit, frames=False), recorded(exhibit)
    assert blind.frames is None and blind.episode == seen.episode
    np.testing.assert_array_equal(blind.path, seen.path)
    if rendering.prepare():
        assert seen.frames is None
        return
    assert seen.frames.shape == (len(seen.step), 240, 240, 3) and seen.frames.dtype == np.uint8
    env = exhibit.task.make_env(width=240, height=240)
    env.unwrapped.model.vis.quality.shadowsize = 0
    env.reset(seed=3)  # the first decision's state
    np.testing.assert_array_equal(seen.frames[0], env.unwrapped.render())
    assert not np.array_equal(seen.frames[0], seen.frames[-1])


def test_without_a_backend_an_episode_is_recorded_without_pictures(maze, recording, monkeypatch):
    monkeypatch.setattr(rendering, "prepare", lambda: "No pictures")
    seen = recorded(maze)
    assert seen.frames is None and seen.episode == recording.episode


def test_numpys_global_generator_is_left_alone(maze):
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.uniform(size=3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    recorded(maze, frames=False)
    np.testing.assert_array_equal(np.random.uniform(size=3), expected)  # noqa: NPY002


def test_an_agent_of_another_environment_is_a_user_error(maze):
    with pytest.raises(UserError, match=r"agent for cube-single.*size 2 and actions of size 2.*agent of cube"):
        recorded(dataclasses.replace(maze, task=parse_task(ARM)))


def test_other_inference_settings_recompile_nothing(maze, recording):
    before = decision.decide_batch._cached._cache_size()
    agent = maze.agent.replace(tau_r=7.0, tau_q=0.0, num_candidates=2)
    recorded(dataclasses.replace(maze, agent=agent), frames=False)
    assert decision.decide_batch._cached._cache_size() == before
