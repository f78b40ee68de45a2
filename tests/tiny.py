"""What tests share: the smallest experiment; untrained agents, with made-up rows of a point maze or with none."""

from dataclasses import replace

import jax
import numpy as np

from evor_eqx.agent.agent import Agent
from evor_eqx.config import FieldConfig, InferenceConfig, PolicyConfig, TrainConfig
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.registry import critic_config
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.envs.tasks import parse_task
from evor_eqx.policy import make_policy
from evor_eqx.presets import preset
from evor_eqx.zoo.catalogue import Listed
from evor_eqx.zoo.exhibits import STRIDE, Exhibit, States

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


def tiny_exhibit(name: str = "tiny", chunk_length: int = CHUNK_LENGTH) -> Exhibit:
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
    agent = untrained(2, 2, chunk_length, InferenceConfig(num_candidates=8, num_flow_steps=4))
    agent = replace(agent, facts={"dataset": TASK.dataset, "origin": "made up", "fingerprint": "00000000"})
    rows = np.flatnonzero(valids > 0)[::STRIDE]
    states = States(rows, {"qpos": obs[rows], "qvel": np.zeros_like(obs[rows])})
    return Exhibit(name, agent, TASK, OfflineDataset.from_compact(arrays), states)


def exhibit_without_data(name: str, chunk_length: int = CHUNK_LENGTH) -> Exhibit:
    """An agent of any task, with no rows to look at: for rollouts."""
    env = (task := parse_task(name)).make_env()
    obs_size, act_size = env.observation_space.shape[0], env.action_space.shape[0]
    env.close()
    inference = InferenceConfig(num_candidates=3, tau_r=1.0, tau_q=0.2, num_returns=4, num_flow_steps=3)
    agent = untrained(obs_size, act_size, chunk_length, inference)
    arrays = {"observations": np.zeros((2, obs_size)), "actions": np.zeros((2, act_size)), "valids": np.array([1, 0])}
    return Exhibit(name, agent, task, OfflineDataset.from_compact(arrays), States(np.zeros(0, np.int32), {}))


def tiny_listed(name: str = "tiny") -> Listed:
    """The tiny exhibit as one to choose."""
    return Listed(TASK, name, lambda: tiny_exhibit(name))


def untrained(obs_size: int, act_size: int, chunk_length: int, inference: InferenceConfig) -> Agent:
    """An agent with networks of one hidden layer, and their configurations."""
    network, sizes = FieldConfig(width=16, depth=1), (obs_size, act_size * chunk_length)
    policy_config = PolicyConfig(network=network, chunk_length=chunk_length)
    config = critic_config("flow")(network=network, n_step=chunk_length)
    policy = make_policy(policy_config, *sizes, key=jax.random.key(0))
    critic = make_critic(config, *sizes, key=jax.random.key(1))
    return Agent(policy, critic, inference, policy_config=policy_config, critic_config=config)
