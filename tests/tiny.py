"""A small untrained agent of a point maze on made-up rows, for tests of what looks at agents."""

import jax
import numpy as np

from evor_eqx.agents import STRIDE, Agent, Entry, States
from evor_eqx.build import make_critic, make_policy
from evor_eqx.config import CriticConfig, NetworkConfig, PolicyConfig, Setting
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.tasks import parse_task

TASK = parse_task("pointmaze-medium-navigate-task1")
CHUNK_LENGTH = 5


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


def tiny_entry(name: str = "tiny") -> Entry:
    """The tiny agent as one to choose."""
    return Entry(TASK, name, lambda: tiny_agent(name))
