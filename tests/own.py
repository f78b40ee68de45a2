"""A small environment of the tests' own, and data from it: a point on a line that is pushed towards 0."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from evor_eqx.data.dataset import OfflineDataset

LOW, HIGH = (-2.0, 0.0), (2.0, 0.5)  # bounds that differ by coordinate; the second coordinate does nothing


class Line(gymnasium.Env):
    """Observation (place, time); the reward is minus the distance to 0."""

    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(np.array(LOW), np.array(HIGH), dtype=np.float64)
    says_success: str | None = None  # the key of `info` that says it

    def __init__(self, length: int = 20):
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = self.np_random.uniform(-3, 3), 0
        return self._obs(), {}

    def step(self, action):
        self.place, self.time = self.place + 0.3 * float(action[0]), self.time + 1
        info = {} if self.says_success is None else {self.says_success: abs(self.place) < 1}
        return self._obs(), -abs(self.place), False, self.time == self.length, info

    def _obs(self):
        return np.array([self.place, self.time / self.length])


def line() -> gymnasium.Env:
    """The environment, in a module that worker processes can import."""
    return Line()


def record(num_episodes: int, seed: int, env: gymnasium.Env | None = None) -> dict[str, np.ndarray]:
    """Episodes of random pushes towards 0, in D4RL's layout."""
    env, rng, rows = env or Line(), np.random.default_rng(seed), []
    for episode in range(num_episodes):
        obs, _ = env.reset(seed=seed + episode)
        ended = False
        while not ended:
            act = np.clip([-obs[0] + rng.normal(0, 0.5), rng.uniform(*np.array([LOW[1], HIGH[1]]))], LOW, HIGH)
            following, reward, terminated, truncated, _ = env.step(act)
            rows.append((obs, act, reward, terminated, truncated, following))
            obs, ended = following, terminated or truncated
    names = ("observations", "actions", "rewards", "terminals", "timeouts", "next_observations")
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def datasets(seed: int = 0) -> tuple[OfflineDataset, OfflineDataset]:
    """Training and validation data."""
    return OfflineDataset.from_arrays(**record(6, seed)), OfflineDataset.from_arrays(**record(2, seed + 100))
