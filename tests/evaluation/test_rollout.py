"""Rollouts in a toy environment whose returns, lengths and successes are known in closed form."""

import functools
import itertools
import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import gymnasium
import jax
import numpy as np
import pytest
from agent.examples import agent_of

from evor_eqx.config import InferenceConfig
from evor_eqx.envs import vector
from evor_eqx.envs.chunks import ChunkEnv
from evor_eqx.envs.tasks import parse_task
from evor_eqx.envs.vector import open_envs
from evor_eqx.errors import UserError
from evor_eqx.evaluation.episodes import Episode
from evor_eqx.evaluation.rollout import Acts, decision_keys, run_episodes

HORIZON = 4
TIME_LIMIT = 11


class Walk(gymnasium.Env):
    """x starts at seed % 3 and moves by the (clipped) first action; success at x >= 6, truncated at TIME_LIMIT.

    The reward is x before the move. The second coordinate is a draw of numpy's global generator, as in OGBench.
    """

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        np.random.seed(seed)  # noqa: NPY002
        self.x, self.steps = float(seed % 3), 0
        return np.array([self.x, np.random.uniform()]), {}  # noqa: NPY002

    def step(self, action):
        assert self.action_space.contains(action), action
        reward, self.x, self.steps = self.x, self.x + float(action[0]), self.steps + 1
        success = self.x >= 6
        obs = np.array([self.x, np.random.uniform()])  # noqa: NPY002
        return obs, reward, success, self.steps >= TIME_LIMIT, {"success": float(success)}


class Broken(Walk):
    def step(self, action):
        raise ArithmeticError("broken on purpose")


class KilledOnce(Walk):
    """Its process is killed in the third step that any of these makes, as where memory runs out."""

    def __init__(self, folder):
        self.folder = folder

    def step(self, action):
        (self.folder / str(len(list(self.folder.iterdir())))).touch()
        if (self.folder / "2").exists() and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


class CountingAgent:
    """Moves by the temperature tau_r (so 5.0 is clipped to 1) and notes what it was asked."""

    def __init__(self):
        self.calls = []

    def act_each(self, obs, keys, settings):
        self.calls.append((obs, jax.random.key_data(keys), list(settings)))
        return np.repeat(np.array([[each.tau_r] for each in settings], np.float32), HORIZON * 2, axis=1)


@functools.partial(jax.jit, static_argnums=1)
def noise(keys, num_candidates):
    return jax.vmap(lambda key: jax.random.normal(key, (num_candidates, HORIZON * 2)))(keys)


class NoisyAgent:
    """Uses everything that must not depend on scheduling: keys, observations (numpy's global draws), temperatures."""

    def act_each(self, obs, keys, settings):
        tau_r = np.array([[each.tau_r] for each in settings], np.float32)
        return np.asarray(noise(keys, settings[0].num_candidates)).mean(1) * tau_r + obs[:, 1:] / 4


class ConstantAgent:
    """The same chunk for every environment."""

    def __init__(self, chunk):
        self.chunk = np.asarray(chunk, np.float32)

    def act_each(self, obs, keys, settings):
        return np.tile(self.chunk, (len(obs), 1))


def test_an_agent_and_whatever_else_has_act_each_can_act():
    assert all(isinstance(agent, Acts) for agent in (agent_of(), CountingAgent(), ConstantAgent([0.0])))
    assert not isinstance(noise, Acts)


def walk(step: float, seed: int) -> tuple[float, bool, int]:
    """Return, success and length of an episode with constant steps, by the naive loop."""
    x, ret, length = float(seed % 3), 0.0, 0
    while length < TIME_LIMIT and (length == 0 or x < 6):
        ret, x, length = ret + x, x + min(step, 1.0), length + 1
    return ret, x >= 6, length


def rollout(make_env, agent, settings, seeds, **options):
    """`run_episodes` in environments of its own; `options` are those of `open_envs`."""
    with open_envs(make_env, **options) as envs:
        return run_episodes(envs, agent, settings, seeds)


def inference(tau_r=1.0, num_candidates=2):
    return InferenceConfig(num_candidates=num_candidates, tau_r=tau_r, tau_q=0.5, num_returns=3)


@pytest.fixture(scope="module")
def envs():
    with open_envs(Walk, horizon=HORIZON, num_envs=3, num_processes=2) as opened:
        yield opened


def test_return_success_and_length_are_those_of_the_naive_loop_and_actions_are_clipped(envs):
    settings, seeds = [inference(5.0), inference(0.25), inference(1.0, num_candidates=7)], [0, 1, 5]
    episodes = run_episodes(envs, CountingAgent(), settings, seeds, reward_timing="post").episodes
    assert [(e.inference, e.seed) for e in episodes] == list(itertools.product(settings, seeds))
    assert [(e.ret, e.success, e.length) for e in episodes] == [walk(e.inference.tau_r, e.seed) for e in episodes]
    assert {e.success for e in episodes} == {True, False} and {e.reward_timing for e in episodes} == {"post"}


def test_the_policy_is_called_once_per_executed_chunk():
    agent = CountingAgent()
    with open_envs(Walk, horizon=HORIZON, num_envs=1) as one:
        result = run_episodes(one, agent, [inference(0.25), inference(1.0)], [0, 1])
    assert len(agent.calls) == sum(math.ceil(e.length / HORIZON) for e in result.episodes)
    assert result.env_steps == sum(e.length for e in result.episodes)
    assert 0 < result.act_seconds < result.wall_seconds


def test_records_do_not_depend_on_the_number_of_environments_or_processes(envs):
    settings, seeds = [inference(0.5), inference(2.0), inference(0.5, num_candidates=5)], range(5)
    many = run_episodes(envs, NoisyAgent(), settings, seeds).episodes
    one = rollout(Walk, NoisyAgent(), settings, seeds, horizon=HORIZON, num_envs=1).episodes
    backwards = run_episodes(envs, NoisyAgent(), settings[::-1], seeds[::-1]).episodes
    assert many == one == backwards[::-1]
    assert len({e.ret for e in many}) > len(seeds)  # the agent's noise does reach the records


def test_settings_are_paired_by_seed(envs):
    starts = set()
    for settings in ([inference(0.1), inference(0.2)], [inference(0.1, num_candidates=3)]):
        agent = CountingAgent()
        run_episodes(envs, agent, settings, [4])
        for obs, keys, _ in agent.calls[: len(settings)]:  # the first decisions, one call for each group
            starts.add((*obs[0].tolist(), *np.asarray(keys[0]).tolist()))
    assert len(starts) == 1 and starts.pop()[0] == 4 % 3


def test_few_episodes_use_all_groups(envs):
    agent = CountingAgent()
    episodes = run_episodes(envs, agent, [inference(0.25)], [0, 1]).episodes
    assert len(agent.calls) == sum(math.ceil(e.length / HORIZON) for e in episodes)  # none shares a call with another


def test_settings_with_equal_counts_share_calls_of_one_shape_with_float32_inputs():
    agent = CountingAgent()
    with open_envs(Walk, horizon=HORIZON, num_envs=4, num_processes=1) as envs:
        run_episodes(envs, agent, [inference(0.1), inference(0.2), inference(0.3)], [0])
    assert len(agent.calls) == math.ceil(TIME_LIMIT / HORIZON)
    obs, keys, settings = agent.calls[0]
    assert obs.shape == (envs.groups[0].num_envs, 2) and obs.dtype == np.float32
    assert len(keys) == len(settings) == envs.groups[0].num_envs
    assert {each.tau_r for each in settings} == {0.1, 0.2, 0.3}  # the fourth environment is idle


def test_decision_keys_depend_on_seed_and_decision_only():
    seeds, decisions = np.array([3, 3, 4, 2**32 - 1], np.uint32), np.array([0, 1, 0, 0], np.uint32)
    data = np.asarray(jax.random.key_data(decision_keys(seeds, decisions)))
    naive = [
        jax.random.key_data(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), s), d))
        for s, d in zip(seeds, decisions, strict=True)
    ]
    np.testing.assert_array_equal(data, naive)
    assert len(np.unique(data, axis=0)) == 4


def test_a_chunk_ends_with_the_episode_and_an_ended_environment_is_not_stepped():
    env, chunk = ChunkEnv(Walk(), HORIZON), np.ones(HORIZON * 2)
    assert env.step(chunk)[4]["num_steps"] == 0  # before the first reset
    env.reset(seed=1)
    steps = [env.step(chunk) for _ in range(3)]
    assert [info["num_steps"] for *_, info in steps] == [4, 1, 0]
    assert [ret for _, ret, *_ in steps] == [1 + 2 + 3 + 4, 5, 0] and env.unwrapped.steps == 5


@pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")  # gymnasium prints the worker's traceback as warnings
def test_an_error_in_an_environment_reaches_the_caller_and_leaves_no_process():
    before = set(multiprocessing.active_children())
    with pytest.raises(UserError, match="on purpose"):
        rollout(Broken, NoisyAgent(), [inference()], [0], horizon=HORIZON, num_envs=2)
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize(
    ("settings", "seeds", "agent", "message"),
    [
        ([], [0], NoisyAgent(), "settings"),
        ([inference()], [], NoisyAgent(), "seeds"),
        ([inference()], [1, 1], NoisyAgent(), "seeds"),
        ([inference()], [-1], NoisyAgent(), "seeds"),
        ([inference()], [0], ConstantAgent(np.zeros(3)), "shape"),
        ([inference()], [0], ConstantAgent(np.full(HORIZON * 2, np.nan)), "finite"),
    ],
)
def test_bad_input_is_a_user_error(envs, settings, seeds, agent, message):
    with pytest.raises(UserError, match=message):
        run_episodes(envs, agent, settings, seeds)


def test_an_episode_survives_json():
    episode = Episode(inference(math.inf), 7, -3.5, True, 4, "post")
    assert Episode.from_row(json.loads(json.dumps(episode.to_row()))) == episode
    assert set(episode.to_row()) >= {"num_candidates", "tau_r", "seed", "ret", "success", "length", "reward_timing"}


def test_bad_counts_and_spaces_are_user_errors():
    with pytest.raises(UserError, match="num_envs"), open_envs(Walk, horizon=1, num_envs=0):
        pass
    with pytest.raises(UserError, match="horizon"), open_envs(Walk, horizon=0):
        pass
    with pytest.raises(UserError, match="flat Box"):
        ChunkEnv(gymnasium.make("FrozenLake-v1"), 1)


def test_teleports_of_ogbench_do_not_depend_on_neighbours_in_the_process():
    """The teleport maze draws from numpy's global generator while it is stepped."""
    right = ConstantAgent(np.tile([1.0, 0.3], 20))
    task = functools.partial(parse_task("pointmaze-teleport-navigate-task1").make_env, max_episode_steps=300)
    with open_envs(task, horizon=20, num_envs=3, num_processes=1) as three:
        together = run_episodes(three, right, [inference()], range(3)).episodes
        alone = [run_episodes(three, right, [inference()], [seed]).episodes[0] for seed in range(3)]
    assert together == alone


@pytest.mark.slow
def test_a_script_without_a_guard_is_not_run_again_by_its_environments(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from evor_eqx.envs.vector import open_envs\n"
        "from evor_eqx.envs.tasks import parse_task\n"
        "print('begun')\n"
        "make = parse_task('pointmaze-medium-navigate-task1').make_env\n"
        "with open_envs(make, horizon=1, num_envs=1) as envs:\n"
        "    print(len(envs.groups))\n"
    )
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (0, "begun\n1\n"), ran.stderr


class KillsLater:
    """As `CountingAgent`; before its second decision all processes that simulate are killed."""

    def __init__(self):
        self.calls, self.others = 0, set(multiprocessing.active_children())

    def act_each(self, obs, keys, settings):
        self.calls += 1
        for process in set(multiprocessing.active_children()) - self.others if self.calls == 2 else ():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        return CountingAgent().act_each(obs, keys, settings)


def test_processes_that_are_killed_between_two_steps_are_started_again(capsys):
    agents = [CountingAgent(), KillsLater()]
    undisturbed, killed = (rollout(Walk, each, [InferenceConfig()], range(3), horizon=HORIZON) for each in agents)
    assert killed.episodes == undisturbed.episodes and "killed" in capsys.readouterr().err


def test_a_killed_process_is_started_again_once_and_the_episodes_are_the_same(tmp_path, capsys):
    settings, seeds = [InferenceConfig(tau_r=0.3), InferenceConfig(tau_r=5.0)], range(5)
    options = {"horizon": HORIZON, "num_envs": 4}
    undisturbed = rollout(Walk, CountingAgent(), settings, seeds, **options)
    killed = rollout(functools.partial(KilledOnce, tmp_path), CountingAgent(), settings, seeds, **options)
    assert (tmp_path / "killed").exists() and killed.episodes == undisturbed.episodes
    assert "killed, perhaps because memory ran out" in capsys.readouterr().err


class StopsLater:
    """As `CountingAgent`; before its second decision a process that simulates is stopped, and set going later."""

    def __init__(self):
        self.calls, self.others = 0, set(multiprocessing.active_children())

    def act_each(self, obs, keys, settings):
        self.calls += 1
        for process in set(multiprocessing.active_children()) - self.others if self.calls == 2 else ():
            os.kill(process.pid, signal.SIGSTOP)
            threading.Timer(2.0, os.kill, (process.pid, signal.SIGCONT)).start()
        return CountingAgent().act_each(obs, keys, settings)


def test_a_process_that_is_stopped_is_named(monkeypatch, capsys):
    monkeypatch.setattr(vector, "_PATIENCE", 0.5)
    episodes = rollout(Walk, StopsLater(), [InferenceConfig()], range(3), horizon=HORIZON).episodes
    assert len(episodes) == 3 and "which simulates, is silent" in capsys.readouterr().err
