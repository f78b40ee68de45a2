"""The physics' benchmark on one small maze: what its numbers are, not how large they are."""

import time

import gymnasium
import pytest

from evor_eqx.bench import simulation


class Slow(gymnasium.Env):
    """Steps of two milliseconds, resets of fifty, episodes of ten steps."""

    action_space = gymnasium.spaces.Box(-1, 1, (2,))

    def reset(self, *, seed=None, options=None):
        time.sleep(0.05)
        self.num_steps = 0
        return None, {}

    def step(self, action):
        assert self.action_space.contains(action.astype("float32"))
        time.sleep(0.002)
        self.num_steps += 1
        return None, 0.0, False, self.num_steps == 10, {}


def test_bare_speed_counts_steps_and_no_resets():
    # With resets it would be at most 10 / (0.05 + 0.02) = 143 steps per second; a sleep may last longer, never less.
    assert 143 < simulation.bare_steps_per_second(Slow(), 0.2) <= 500


@pytest.mark.slow
def test_shares_are_of_bare_simulation(home):
    (row,) = simulation.run_physics(
        {"pointmaze-medium-navigate": 2}, num_eval_episodes=2, bare_seconds=0.1, num_rounds=1
    )
    for name in ("generation", "evaluation"):
        assert row[f"{name}_share"] == pytest.approx(row[name] / row["bare"])
        assert row[name] > 0
