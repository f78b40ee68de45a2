"""The explorer and the roll-outs on tasks of one's own: planes through chunks, no maze, no known returns."""

from dataclasses import replace

import gymnasium
import numpy as np
import own
import pytest
import tiny

from evor_eqx.config import InferenceConfig
from evor_eqx.data.custom import custom_task
from evor_eqx.envs.physics import place
from evor_eqx.evaluation.projection import principal_plane
from evor_eqx.evaluation.recording import record
from evor_eqx.widgets.explorer.arrays import DATA, ROLLOUT
from evor_eqx.widgets.explorer.explorer import explore
from evor_eqx.widgets.explorer.planes import planes
from evor_eqx.widgets.explorer.states import StateFinder
from evor_eqx.widgets.rollouts.viewer import RolloutViewer
from evor_eqx.zoo.exhibits import Exhibit

INFERENCE = InferenceConfig(num_candidates=8, num_flow_steps=4)


def made(make_env=own.line, chunk_length=3):
    """An untrained agent for the tests' own environment, and the task."""
    task = custom_task("line", *own.datasets(), make_env=make_env, gamma=0.9)
    agent = replace(tiny.untrained(2, 2, chunk_length, INFERENCE), bounds=task.bounds)
    return agent, task


@pytest.mark.parametrize("make_env", [own.line, None])
def test_the_explorer_opens_on_any_task_and_draws_candidates_in_each_plane(make_env):
    agent, task = made(own.line)
    task = replace(task, has_env=make_env is not None)
    explorer = explore(agent, task, state=1)
    assert explorer.view["name"] == "held-out state 1" and explorer.view["recorded"]["low"] == b""
    assert explorer.scene["sources"] == ([DATA, ROLLOUT] if make_env else [DATA])
    assert explorer.scene["choices"] == ["principal components", "actions 0 and 1"]
    assert explorer.scene["maps"][1][0]["labels"][0].startswith("action 0")
    _, look = explorer._seen
    chunks = np.asarray(look.chunks).reshape(len(look.chunks), 3, 2)
    ends = np.frombuffer(explorer.view["planes"][1]["ends"], np.float32).reshape(-1, 2)
    np.testing.assert_allclose(ends, chunks.mean(axis=1), rtol=1e-5)
    explorer.follow()
    assert explorer.track == {} and explorer.message == ""  # its planes are none of places


def test_states_of_a_rollout_can_be_looked_at():
    explorer = explore(*made())
    explorer.source = ROLLOUT
    assert explorer.view["name"] == "decision 0 of the rollout"
    assert explorer.last == len(explorer.recording.obs) - 1 == 6  # 20 steps in chunks of 3


def test_the_principal_plane_is_that_of_the_largest_variance():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 4)) * [3.0, 0.1, 1.0, 0.01]
    plane = principal_plane(rows)
    np.testing.assert_allclose(np.abs(plane.axes), np.eye(4)[[0, 2]], atol=0.05)
    assert plane.axes[0, 0] > 0 and plane.axes[1, 2] > 0
    variances = plane.project(rows).var(axis=0)
    values = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1]
    np.testing.assert_allclose(variances, values[:2], rtol=1e-6)
    assert principal_plane(rows[:, :1]).project(rows[:, :1]).shape == (500, 2)


def test_in_a_maze_of_a_point_chunks_are_displacements_in_metres():
    (plane,) = planes(tiny.tiny_exhibit(chunk_length=2))
    np.testing.assert_allclose(plane.project(np.zeros(2), np.array([[0.5, -1.0, 0.5, 0.0]])), [[0.2, -0.2]])
    assert plane.is_displacement


def test_torques_of_legs_are_drawn_by_where_the_ant_goes():
    exhibit = tiny.exhibit_without_data("antmaze-medium-navigate-task1")
    (plane,) = planes(exhibit)
    rng = np.random.default_rng(0)
    chunks, env = rng.uniform(-1, 1, (3, tiny.CHUNK_LENGTH * 8)), exhibit.task.make_env()
    obs, _ = env.reset(seed=0)
    qpos, qvel = obs[:15].astype(np.float32), obs[15:].astype(np.float32)
    ways = plane.project(np.append(qpos, qvel), chunks)
    for way, chunk in zip(ways, chunks, strict=True):  # as the environment itself goes, from the same state
        place(env, qpos, qvel)
        for action in chunk.reshape(-1, 8):
            passed = env.step(action)[0]
        np.testing.assert_allclose(way, passed[:2] - qpos[:2], atol=1e-6)
    np.testing.assert_array_equal(StateFinder(exhibit).velocity(passed), env.unwrapped.data.qvel[:2])
    env.close()


def test_an_action_of_one_number_has_one_plane():
    agent, task = made(chunk_length=1)
    exhibit = Exhibit.of(agent, task)
    one = replace(exhibit, agent=replace(tiny.untrained(2, 1, 1, INFERENCE)))
    one = replace(one, dataset=replace(one.dataset, act=one.dataset.act[:, :1]))
    (plane,) = planes(one)
    assert plane.project(np.zeros(2), np.ones((5, 1))).shape == (5, 2)


class Painted(own.Line):
    """An environment with pictures."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode=None):
        super().__init__()
        self.render_mode = render_mode

    def render(self):
        return np.full((8, 8, 3), 10 * round(20 * self._obs()[1]) % 256, np.uint8)


def test_pictures_are_those_of_the_environment_if_it_has_any():
    agent, task = made(lambda render_mode=None: Painted(render_mode))
    recording = record(agent, task, seed=0)
    assert recording.frames.shape == (7, 8, 8, 3) and recording.frames[1].max() == 30  # after a chunk of 3 steps
    assert record(agent, made()[1], seed=0).frames is None


def test_the_viewer_shows_returns_and_the_path_of_the_states():
    viewer = RolloutViewer(Exhibit.of(*made()))
    viewer.run()
    assert "has the return" in viewer.text.value and "against" in viewer.text.value
    assert viewer.recordings["A"].path.shape == (21, 2) and viewer.canvas.image.value


def test_a_task_that_ended_has_a_known_return():
    class Ends(own.Line):
        def step(self, action):
            obs, reward, _, truncated, info = super().step(action)
            return obs, reward, self.time == 7, truncated, info

    recording = record(*made(lambda: Ends(20)), seed=0)
    assert recording.terminated and recording.return_to_go.is_complete.all()
    rewards = recording.reward
    np.testing.assert_allclose(recording.return_to_go.low[0], np.sum(0.9 ** np.arange(7) * rewards), rtol=1e-6)
    assert isinstance(Ends(), gymnasium.Env)
