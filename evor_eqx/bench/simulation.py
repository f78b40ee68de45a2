"""What data and evaluation cost beside bare simulation of the same environment, in interleaved rounds.

Bare simulation is `env.step` with random actions in one process, times the number of cores. Data generation and
evaluation do more than that (controllers, networks, files, processes to start and to feed), and also other physics: a
gripper that holds something costs more contacts than one that waves. So a share may lie on either side of one.
"""

import functools
import tempfile
import time
from pathlib import Path

import gymnasium
import jax
import numpy as np

from evor_eqx.agent import agent
from evor_eqx.config import Setting
from evor_eqx.critics.factory import make_critic
from evor_eqx.data.generation.collect import generate, val_path
from evor_eqx.envs.ogbench import make_env
from evor_eqx.envs.tasks import parse_task
from evor_eqx.envs.vector import ParallelEnvs, open_envs
from evor_eqx.evaluation.rollout import Actor, run_episodes
from evor_eqx.policy import make_policy
from evor_eqx.presets import preset
from evor_eqx.system.processes import num_cores

EPISODES = {"pointmaze-medium-navigate": 100, "cube-single-play": 20}  # some ten seconds of generation each
CONFIG = preset("laptop")
NUM_CANDIDATES, HORIZON = 8, CONFIG.policy.chunk_length


def run_physics(
    datasets: dict[str, int] = EPISODES, num_eval_episodes: int = 50, bare_seconds: float = 1.0, num_rounds: int = 2
) -> list[dict[str, float | str]]:
    """For each dataset: steps per second of bare simulation on all cores, of data generation and of evaluation (the
    last two also as shares of the first; medians over rounds). `datasets` gives the episodes to generate."""
    return [_physics(name, num, num_eval_episodes, bare_seconds, num_rounds) for name, num in datasets.items()]


def _physics(dataset: str, num_episodes: int, num_eval_episodes: int, bare_seconds: float, num_rounds: int):
    make = functools.partial(make_env, parse_task(f"{dataset}-task1"))
    env = make()
    actor = random_agent(env)
    rows = []
    with open_envs(make, horizon=HORIZON) as envs:
        _evaluate(envs, actor, 1)  # compiles
        for _ in range(num_rounds):
            before = bare_steps_per_second(env, bare_seconds)
            generation = _generate(dataset, num_episodes)
            evaluation = _evaluate(envs, actor, num_eval_episodes)
            bare = num_cores() * (before + bare_steps_per_second(env, bare_seconds)) / 2
            rows.append((bare, generation, evaluation, generation / bare, evaluation / bare))
    env.close()
    names = ("bare", "generation", "evaluation", "generation_share", "evaluation_share")
    return {"dataset": dataset, **dict(zip(names, np.median(rows, axis=0).tolist(), strict=True))}


def bare_steps_per_second(env: gymnasium.Env, seconds: float) -> float:
    """Speed of `env.step` with random actions in this process, resets left out."""
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


def random_agent(env: gymnasium.Env) -> Actor:
    """An untrained agent of the `laptop` preset, which costs what a trained one costs."""
    obs_size, chunk_size = env.observation_space.shape[0], HORIZON * env.action_space.shape[0]  # type: ignore[index]
    policy = make_policy(CONFIG.policy, obs_size, chunk_size, key=jax.random.key(0))
    critic = make_critic(CONFIG.critic, obs_size, chunk_size, key=jax.random.key(1))
    return agent.agent(policy, critic, CONFIG.num_flow_steps)


def _generate(dataset: str, num_episodes: int) -> float:
    """Transitions per second, the start of the processes included."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        path = generate(dataset, num_episodes=num_episodes, folder=Path(folder))
        seconds = time.perf_counter() - start
        num_rows = sum(len(np.load(file)["terminals"]) for file in (path, val_path(path)))
    return num_rows / seconds


def _evaluate(envs: ParallelEnvs, actor: Actor, num_episodes: int) -> float:
    """Environment steps per second of whole episodes."""
    rollout = run_episodes(envs, actor, [Setting(num_candidates=NUM_CANDIDATES)], range(num_episodes))
    return rollout.env_steps / rollout.wall_seconds
