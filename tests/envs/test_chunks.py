"""Chunks of actions in environments, and what they say of success; errors of environments in worker processes."""

import multiprocessing
import os

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box

from evor_eqx.config import InferenceConfig
from evor_eqx.envs.chunks import UNKNOWN, ChunkEnv
from evor_eqx.envs.vector import open_envs
from evor_eqx.errors import UserError
from evor_eqx.evaluation.rollout import run_episodes


class Told(gymnasium.Env):
    """It ends after as many steps as it has infos, and gives one of them at each step."""

    observation_space = Box(-1, 1, (1,))
    action_space = Box(-1, 1, (1,))

    def __init__(self, *infos):
        self.infos = infos

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = list(self.infos)
        return np.zeros(1), {}

    def step(self, action):
        return np.zeros(1), 0.0, False, len(self.left) == 1, self.left.pop(0)


@pytest.mark.parametrize(
    ("infos", "expected"),
    [
        ([{}, {}], UNKNOWN),
        ([{"success": np.nan}, {}], UNKNOWN),
        ([{"success": np.nan}, {"success": 0.0}], 0),
        ([{"success": False}, {}], 0),
        ([{}, {"is_success": True}], 1),
        ([{"success": np.array([0.0, 1.0])}, {"success": False}], 1),
        ([{"success": None, "is_success": False}, {}], 0),
        ([{"success": "no"}, {"is_success": ""}], UNKNOWN),
    ],
)
def test_success_is_what_some_step_said_and_nan_says_nothing(infos, expected):
    env = ChunkEnv(Told(*infos), 2)
    env.reset(seed=0)
    assert env.step(np.zeros(2))[4]["success"] == expected


def test_whole_numbers_are_rounded_not_cut():
    taken = []

    class Whole(Told):
        action_space = Box(-3, 3, (1,), np.int64)

        def step(self, action):
            taken.append(action)
            return super().step(action)

    env = ChunkEnv(Whole({}, {}, {}, {}), 3)
    env.reset(seed=0)
    env.step(np.array([0.6, -1.7, 2.4], np.float32))
    assert np.concatenate(taken).tolist() == [1, -2, 2] and taken[0].dtype == np.int64


class OwnError(Exception):
    """An exception that no other process can import, because it is made from two things."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


class Raises(Told):
    def step(self, action):
        raise OwnError("this", "that")


class Changes(Told):
    def step(self, action):
        return np.zeros(3), 0.0, False, False, {}


class Ends(Told):
    def step(self, action):
        os._exit(3)


class RaisesLater(Told):
    """It can be made where its spaces are read, and nowhere else."""

    def __init__(self):
        if multiprocessing.current_process().name != "MainProcess":
            raise OwnError("this", "that")
        super().__init__()


class Still:
    def act_each(self, obs, keys, settings):
        return np.zeros((len(obs), 2), np.float32)


@pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")  # gymnasium prints the worker's traceback as warnings
@pytest.mark.parametrize(
    ("make_env", "words"),
    [
        (Raises, r"the environment: got OwnError \(this and that\), expected it to run"),
        (Changes, r"observation of the environment: got shape \(3,\), expected \(1,\)"),
        (Ends, r"a process that simulates ended \(exit code 3\)"),
        (RaisesLater, "a process that simulates ended|make_env: got OwnError"),
    ],
)
def test_what_goes_wrong_in_a_worker_process_is_one_error_here(make_env, words):
    before = set(multiprocessing.active_children())
    with pytest.raises(UserError, match=words), open_envs(make_env, horizon=2, num_envs=2) as envs:
        run_episodes(envs, Still(), [InferenceConfig()], [0])
    assert set(multiprocessing.active_children()) <= before
