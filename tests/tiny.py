"""What tests share: the smallest experiment; untrained agents, on made-up rows of a point maze or on none."""

from dataclasses import replace

import jax
import numpy as np

from evor_eqx.config import CriticConfig, NetworkConfig, PolicyConfig, Setting, TrainConfig
from evor_eqx.critics.factory import make_critic
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.envs.ogbench import make_env
from evor_eqx.envs.tasks import parse_task
from evor_eqx.policy import make_policy
from evor_eqx.presets import preset
from evor_eqx.zoo.packed import STRIDE, Agent, Entry, States

TASK = parse_task("pointmaze-medium-navigate-task1")
CHUNK_LENGTH = 5
_TRAIN = TrainConfig(num_updates=40, batch_size=16, log_every=10, checkpoint_every=20)
_SMOKE = preset("smoke")
CONFIG = replace(
    _SMOKE,
    data=replace(_SMOKE.data, num_episodes=1),
    policy=replace(_SMOKE.policy, train=_TRAIN),
    critic=replace(_SMOKE.critic, train=_TRAIN),
    evaluation=replace(_SMOKE.evaluation, num_episodes=2, num_envs=2),
)


def tiny_agent(name: str = "tiny", chunk_length: int = CHUNK_LENGTH) -> Agent:
    """Two episodes of 1200 transitions along a corridor of the medium maze; the second one reaches the goal."""
    rng = np.random.default_rng(0)
    num_rows = 2 * 1201
    valids = np.ones(num_rows)
    valids[[1200, 2401]] = 0
    obs = np.stack([np.linspace(0, 4, num_rows), rng.uniform(-0.2, 0.2, num_rows)], axis=1).astype(np.float32)
    arrays = {
        "observations": obs,
        "actions": rng.uniform(-1, 1, (num_rows, 2)),
        "valids": valids,
        "rewards": np.where(np.arange(num_rows) > 2000, 0.0, -1.0),
        "masks": np.where(np.arange(num_rows) > 2000, 0.0, 1.0),
    }
    network = NetworkConfig(width=16, depth=1)
    config = PolicyConfig(network=network, chunk_length=chunk_length)
    policy = make_policy(config, 2, 2 * chunk_length, key=jax.random.key(0))
    critic = make_critic(CriticConfig(network=network), 2, 2 * chunk_length, key=jax.random.key(1))
    rows = np.flatnonzero(valids > 0)[::STRIDE]
    states = States(rows, {"qpos": obs[rows], "qvel": np.zeros_like(obs[rows])})
    facts = {"dataset": TASK.dataset, "origin": "made up", "fingerprint": "00000000"}
    return Agent(
        name, TASK, policy, critic, Setting(num_candidates=8), 4, OfflineDataset.from_arrays(arrays), states, facts
    )


def agent_without_data(name: str, chunk_length: int = CHUNK_LENGTH) -> Agent:
    """An agent of any task, with no rows to look at: for rollouts."""
    env = make_env(task := parse_task(name))
    obs_size, act_size = env.observation_space.shape[0], env.action_space.shape[0]
    env.close()
    sizes, network = (obs_size, act_size * chunk_length), NetworkConfig(width=16, depth=1)
    policy = make_policy(PolicyConfig(network=network, chunk_length=chunk_length), *sizes, key=jax.random.key(0))
    critic = make_critic(CriticConfig(network=network), *sizes, key=jax.random.key(1))
    arrays = {"observations": np.zeros((2, obs_size)), "actions": np.zeros((2, act_size)), "valids": np.array([1, 0])}
    setting = Setting(num_candidates=3, tau_r=1.0, tau_q=0.2, num_returns=4)
    dataset, states = OfflineDataset.from_arrays(arrays), States(np.zeros(0, np.int32), {})
    return Agent(name, task, policy, critic, setting, 3, dataset, states, {})


def tiny_entry(name: str = "tiny") -> Entry:
    """The tiny agent as one to choose."""
    return Entry(TASK, name, lambda: tiny_agent(name))
