"""The recipes of OGBench's datasets: which environment, who acts, with which noise, for how long.

All numbers are OGBench's. In mazes, a point or an ant goes along the shortest path to random goals, with Gaussian noise
(`navigate`: a new goal at each success; `stitch`: one goal, four cells away). An ant that explores goes in random
directions. Arms are moved by OGBench's own controllers: `play` follows a noisy plan fixed in advance, `noisy` works in
closed loop, with a noise level per episode and some uniform actions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from evor_eqx.data.generation.ant_actor import ACTOR_SHA256
from evor_eqx.envs.dataset_names import DATASETS, DatasetName, family, parse_dataset

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """What makes a dataset, with the published numbers as defaults."""

    env_id: str  # the environment without a task
    kind: str  # navigate, stitch, explore, play or noisy
    noise: float  # standard deviation of the noise, in units of the action (play, noisy: see `ArmCollector`)
    num_episodes: int = 1000  # training episodes; a tenth as many for validation
    episode_steps: int = 1001  # rows of an episode: one state and action each; the last row ends it
    p_random_action: float = 0.0  # probability that an action is uniform in the action box (noisy)

    @property
    def family(self) -> str:
        """The family of the environment: pointmaze, antmaze, cube, scene or puzzle."""
        return family(self.env_id)


@dataclass(frozen=True)
class AntRecipe(Recipe):
    """A recipe whose body is moved by a trained actor; another actor makes other data."""

    actor: str = ACTOR_SHA256


def _recipe(dataset: str) -> Recipe:
    name = parse_dataset(dataset)
    env_id = f"{name.environment}-v0"
    if name.family in ("pointmaze", "antmaze"):
        return _maze_recipe(env_id, name)
    p_random_action = {"play": 0.0, "noisy": 0.2 if name.family == "puzzle" else 0.1}[name.kind]
    num_episodes = 3000 if name.environment == "cube-triple" else 1000
    return Recipe(env_id, name.kind, 0.1, num_episodes, p_random_action=p_random_action)


def _maze_recipe(env_id: str, name: DatasetName) -> Recipe:
    kind, (recipe, noise) = name.kind, (AntRecipe, 0.2) if name.family == "antmaze" else (Recipe, 0.5)
    match kind:
        case "stitch":
            return recipe(env_id, kind, noise, num_episodes=5000, episode_steps=201)
        case "explore":
            return recipe(env_id, kind, noise=1.0, num_episodes=10_000, episode_steps=501)
        case "navigate" if name.environment.endswith("-giant"):
            return recipe(env_id, kind, noise, num_episodes=500, episode_steps=2001)
    return recipe(env_id, kind, noise)


RECIPES = {dataset: _recipe(dataset) for dataset in DATASETS}


def empty_rows(recipe: Recipe, obs: np.ndarray, env: Any) -> Arrays:
    """Arrays of one episode with OGBench's keys and types; only the last row ends it.

    **Arguments:**

    - `recipe`: gives the number of rows.
    - `obs`: the first observation, for its size.
    - `env`: OGBench's environment without wrappers, for all other sizes.
    """
    steps = recipe.episode_steps
    widths = {"observations": len(obs), "actions": env.action_space.shape[0]}
    widths |= {"qpos": env.model.nq, "qvel": env.model.nv}
    rows: Arrays = {key: np.empty((steps, width), np.float32) for key, width in widths.items()}
    rows["terminals"] = np.arange(steps) == steps - 1
    if hasattr(env, "_cur_button_states"):
        rows["button_states"] = np.empty((steps, len(env._cur_button_states)), np.int64)
    return rows


def record(rows: Arrays, step: int, obs: np.ndarray, action: np.ndarray, info: dict[str, Any]) -> None:
    """Write row `step`: the state before the action, and the action."""
    rows["observations"][step] = obs
    rows["actions"][step] = action
    rows["qpos"][step] = info["prev_qpos"]
    rows["qvel"][step] = info["prev_qvel"]
    if "button_states" in rows:
        rows["button_states"][step] = info["prev_button_states"]


def integer_seed(seed: np.random.SeedSequence) -> int:
    """128 bits of a seed sequence, for generators that take an integer."""
    return int.from_bytes(seed.generate_state(4).tobytes(), "little")
