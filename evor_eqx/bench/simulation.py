"""Speed of data generation and evaluation beside bare simulation of the same environment, in interleaved rounds.

Bare simulation is `env.step` with random actions in one process, times the number of cores. Data generation and
evaluation do more than that: controllers, networks, files, processes to start and to feed. They also simulate other
motions: a gripper that holds something has more contacts than one that waves. So a share may be above or below one.
"""

import tempfile
import time
from pathlib import Path

import gymnasium
import jax
import numpy as np

from evor_eqx.agent.agent import Agent
from evor_eqx.config import InferenceConfig
from evor_eqx.critics.factory import make_critic
from evor_eqx.data.generation.collect import generate, val_path
from evor_eqx.envs.tasks import parse_task
from evor_eqx.envs.vector import ParallelEnvs, open_envs
from evor_eqx.evaluation.rollout import run_episodes
from evor_eqx.policy import make_policy
from evor_eqx.presets import preset
from evor_eqx.system.processes import num_cores

# Some ten seconds of generation each.
EPISODES = {"pointmaze-medium-navigate": 100, "antmaze-medium-navigate": 40, "cube-single-play": 20}
CONFIG = preset("laptop")
NUM_CANDIDATES, HORIZON = 8, CONFIG.policy.chunk_length


def run_physics(
    datasets: dict[str, int] = EPISODES, num_eval_episodes: int = 50, bare_seconds: float = 1.0, num_rounds: int = 2
) -> list[dict[str, float | str]]:
    """Time data generation and evaluation beside bare simulation on all cores.

    **Arguments:**

    - `datasets`: for each dataset, the episodes to generate.
    - `num_eval_episodes`: episodes of an untrained agent.
    - `bare_seconds`: seconds of bare simulation before and after both.
    - `num_rounds`: rounds of all of that.

    **Returns:**

    A row for each dataset: steps per second of bare simulation, generation and evaluation, and the last two as shares
    of the first; medians over rounds.
    """
    return [_physics(name, num, num_eval_episodes, bare_seconds, num_rounds) for name, num in datasets.items()]


def _physics(dataset: str, num_episodes: int, num_eval_episodes: int, bare_seconds: float, num_rounds: int):
    make = parse_task(f"{dataset}-task1").make_env
    env = make()
    agent = untrained_agent(env)
    rows = []
    with open_envs(make, horizon=HORIZON) as envs:
        _evaluate(envs, agent, 1)  # compiles
        for _ in range(num_rounds):
            before = bare_steps_per_second(env, bare_seconds)
            generation = _generate(dataset, num_episodes)
            evaluation = _evaluate(envs, agent, num_eval_episodes)
            bare = num_cores() * (before + bare_steps_per_second(env, bare_seconds)) / 2
            rows.append((bare, generation, evaluation, generation / bare, evaluation / bare))
    env.close()
    names = ("bare", "generation", "evaluation", "generation_share", "evaluation_share")
    return {"dataset": dataset, **dict(zip(names, np.median(rows, axis=0).tolist(), strict=True))}


def bare_steps_per_second(env: gymnasium.Env, seconds: float) -> float:
    """Time `env.step` with random actions in this process for some seconds; resets are left out."""
    rng = np.random.default_rng(0)
    low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]
    num_steps, spent, ended = 0, 0.0, True
    while spent < seconds:
        if ended:
            env.reset(seed=0)
        act = rng.uniform(low, high)
        start = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(act)
        spent, num_steps, ended = spent + time.perf_counter() - start, num_steps + 1, terminated or truncated
    return num_steps / spent


def untrained_agent(env: gymnasium.Env) -> Agent:
    """An untrained agent of the `laptop` preset; it costs what a trained one costs."""
    obs_size, chunk_size = env.observation_space.shape[0], HORIZON * env.action_space.shape[0]  # type: ignore[index]
    policy = make_policy(CONFIG.policy, obs_size, chunk_size, key=jax.random.key(0))
    critic = make_critic(CONFIG.critic, obs_size, chunk_size, key=jax.random.key(1))
    return Agent(policy, critic, InferenceConfig(num_candidates=NUM_CANDIDATES))


def _generate(dataset: str, num_episodes: int) -> float:
    """Transitions per second, the start of the processes included."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = generate(dataset, num_episodes=num_episodes, folder=Path(folder))
        seconds = time.perf_counter() - start
        num_rows = sum(len(np.load(file)["terminals"]) for file in (path, val_path(path)))
    return num_rows / seconds


def _evaluate(envs: ParallelEnvs, agent: Agent, num_episodes: int) -> float:
    """Environment steps per second of whole episodes."""
    rollout = run_episodes(envs, agent, [agent.inference], range(num_episodes))
    return rollout.env_steps / rollout.wall_seconds
