"""Chunks of actions in environments: one environment, and the environments of a process as one."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, flatdim

from evor_eqx.envs.checks import flat_box
from evor_eqx.errors import UserError, told

MAX_SEED = 2**32 - 1  # the largest seed that numpy's global generator takes
UNKNOWN = -1  # success where no step's info said whether there was one; else 0 or 1


class ChunkEnv(gymnasium.Wrapper):
    """An environment whose action is a chunk: h actions, flattened, executed one by one until the episode ends.

    Observations become float32, and actions are clipped to the action space. A step returns the sum of the rewards. Its
    `info` holds `success` (see `UNKNOWN`; 1 if it was said at any of the steps) and `num_steps` (environment steps
    taken). Before the first reset and after the end of an episode a step does nothing, so idle environments cost
    nothing.

    **Arguments:**

    - `env`: an environment. Its `info` may have `success` or `is_success`.
    - `horizon`: h, the actions in a chunk.

    **Raises:** UserError unless observations and actions are flat boxes.
    """

    def __init__(self, env: gymnasium.Env, horizon: int):
        super().__init__(env)
        obs, self._act = flat_box("observation", env.observation_space), flat_box("action", env.action_space)
        self.observation_space = _unbounded(*obs.shape)
        self.action_space = _unbounded(horizon * self._act.shape[0])
        self._obs = np.zeros(obs.shape, np.float32)
        self._terminated, self._truncated = True, False

    def reset(self, *, seed=None, options=None):
        obs, _ = self.env.reset(seed=seed, options=options)
        self._see(obs)
        self._terminated, self._truncated = False, False
        return self._obs, {"success": UNKNOWN, "num_steps": 0}

    def _see(self, obs):
        before, self._obs = self._obs, np.asarray(obs, np.float32)
        if self._obs.shape != before.shape:
            raise UserError(
                f"observation of the environment: got shape {self._obs.shape}, expected {before.shape}, as its "
                "observation space says; mend the environment"
            )

    def step(self, action):
        rewards, success, num_steps = 0.0, UNKNOWN, 0
        acts = np.reshape(action, (-1, *self._act.shape))
        if self._act.dtype.kind in "iu":
            acts = np.rint(acts)
        for act in np.clip(acts, self._act.low, self._act.high).astype(self._act.dtype):
            if self._terminated or self._truncated:
                break
            obs, reward, self._terminated, self._truncated, info = self.env.step(act)
            self._see(obs)
            rewards, success, num_steps = rewards + float(reward), max(success, _success(info)), num_steps + 1
        return self._obs, rewards, self._terminated, self._truncated, {"success": success, "num_steps": num_steps}


class EnvPack(gymnasium.Env):
    """The `ChunkEnv`s of one process as one environment, with arrays over its members.

    A step takes `{"seeds": [n], "chunks": [n, h * act]}`. Members whose seed is not -1 begin an episode with it; the
    others execute their chunk. The step's `info` holds arrays `ret`, `success`, `num_steps`, `ended`.

    OGBench draws from numpy's global generator (start positions, teleports). So each member replaces it with
    a generator of its own while it steps, and no member's draws depend on the others.
    """

    def __init__(self, make_env: Callable[[], gymnasium.Env], horizon: int, num_members: int):
        # The other members are made at the first step: AsyncVectorEnv makes one more pack only to read its spaces.
        self._make_env, self._horizon = make_env, horizon
        self._members = [self._make()]
        self._generators = [np.random.MT19937(0) for _ in range(num_members)]
        self.observation_space = _unbounded(num_members, flatdim(self._members[0].observation_space))
        chunks = _unbounded(num_members, flatdim(self._members[0].action_space))
        self.action_space = Dict(seeds=Box(-1, MAX_SEED, (num_members,), np.int64), chunks=chunks)

    def step(self, action):
        while len(self._members) < len(self._generators):
            self._members.append(self._make())
        outcomes = []
        for env, generator, seed, chunk in zip(
            self._members, self._generators, action["seeds"], action["chunks"], strict=True
        ):
            np.random.set_bit_generator(generator)  # pyright: ignore[reportAttributeAccessIssue]
            with told("the environment"):  # the process that reads the error may not know the class of its exception
                outcomes.append(env.step(chunk) if seed < 0 else _begin(env, int(seed)))
        obs, ret, terminated, truncated, infos = zip(*outcomes, strict=True)
        info = {name: np.array([info[name] for info in infos]) for name in ("success", "num_steps")}
        info |= {"ret": np.array(ret), "ended": np.logical_or(terminated, truncated)}
        return np.stack(obs), 0.0, False, False, info

    def close(self):
        for env in self._members:
            with told("close of the environment"):
                env.close()

    def _make(self):
        with told("make_env"):
            return ChunkEnv(self._make_env(), self._horizon)


def _unbounded(*shape: int) -> Box:
    return Box(-np.inf, np.inf, shape, np.float32)


def _success(info: dict[str, Any]) -> int:
    """What a step's info says of success; nan says nothing."""
    said = [np.asarray(info[name]) for name in ("success", "is_success") if info.get(name) is not None]
    said = [each for each in said if each.dtype.kind in "biuf" and not np.isnan(each).any()]
    return max((int(each.any()) for each in said), default=UNKNOWN)


def _begin(env: ChunkEnv, seed: int) -> tuple:
    """Reset, and return the outcome in the form of a step without reward."""
    obs, info = env.reset(seed=seed)
    return obs, 0.0, False, False, info
