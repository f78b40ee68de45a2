"""Episodes of the robot arm, moved by OGBench's own controllers."""

import importlib
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from evor_eqx.data.generation.plan import compute_plan
from evor_eqx.data.generation.recipes import Arrays, Recipe, empty_rows, integer_seed, record
from evor_eqx.envs.ogbench import seeded_env


@dataclass
class ArmCollector:
    """Collects episodes of the robot arm with OGBench's controllers, one per kind of object.

    `play`: the controller adds smoothed noise to its plan, of size `noise` times the action's range. `noisy`: each
    episode draws xi uniformly from [0, noise]; the noise of (x, y, z, yaw, gripper) is xi times (1, 1, 1, 3, 10).
    """

    recipe: Recipe
    env: gymnasium.Env = field(init=False, repr=False)

    def __post_init__(self):
        self.env = seeded_env(self.recipe.env_id, terminate_at_goal=False, mode="data_collection")
        self.controllers = _arm_controllers(self.env, self.recipe)

    def episode(self, seed: np.random.SeedSequence) -> Arrays:
        """Collect one episode; it is a function of the recipe and the seed alone.

        An episode of the scene whose cube gets out of sight is dropped and collected again.
        """
        rng, env_seed = np.random.default_rng(seed), integer_seed(seed)
        while True:
            rows = self._attempt(rng, env_seed)
            if self.recipe.family != "scene" or is_healthy(rows["qpos"]):
                return rows
            env_seed = None  # go on with the same generators

    def _attempt(self, rng: np.random.Generator, env_seed: int | None) -> Arrays:
        arm: Any = self.env.unwrapped
        if self.recipe.family == "scene":
            _forget_targets(arm)
        obs, info = self.env.reset(seed=env_seed)
        p_stack = rng.uniform(*stacking_range(self.recipe.env_id))
        noise, random_actions = self._noise(rng), self._random_actions(rng)
        controller = self._start(obs, info)
        rows = empty_rows(self.recipe, obs, arm)
        for step in range(self.recipe.episode_steps):
            action = random_actions.get(step)
            if action is None:
                action = np.clip(controller.select_action(obs, info) + noise[step], -1.0, 1.0)
            next_obs, _, _, _, info = arm.step(action)
            if controller.done:
                # As in OGBench, the next action still sees `info` of the finished target.
                controller = self._start(*arm.set_new_target(p_stack=p_stack))
            record(rows, step, obs, action, info)
            obs = next_obs
        return rows

    def _start(self, obs: np.ndarray, info: dict):
        controller = self.controllers[info["privileged/target_task"]]
        controller.reset(obs, info)
        return controller

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        """What is added to the controller's actions; zero for `play`, whose noise is in the plan."""
        if self.recipe.kind == "play":
            return np.zeros((self.recipe.episode_steps, 5))
        xi = rng.uniform(0.0, self.recipe.noise)
        return rng.normal(0.0, xi * np.array([1.0, 1.0, 1.0, 3.0, 10.0]), (self.recipe.episode_steps, 5))

    def _random_actions(self, rng: np.random.Generator) -> dict[int, np.ndarray]:
        """The steps with a uniform action instead of the controller's."""
        steps = np.flatnonzero(rng.random(self.recipe.episode_steps) < self.recipe.p_random_action)
        return dict(zip(steps.tolist(), rng.uniform(-1.0, 1.0, (len(steps), 5)), strict=True))


def stacking_range(env_id: str) -> tuple[float, float]:
    """The range from which an episode draws its probability of stacking cubes (one cube: 0; not only cubes: 0.5)."""
    ranges = {"cube-single-v0": (0.0, 0.0), "cube-double-v0": (0.0, 0.25), "cube-triple-v0": (0.05, 0.35)}
    return ranges.get(env_id, (0.5, 0.5))


def is_healthy(qpos: np.ndarray) -> bool:
    """Whether the scene's cube stays visible, on the table or in the drawer.

    **Arguments:**

    - `qpos`: positions of one episode, [steps, nq]; the cube's are in metres.
    """
    y, z = qpos[:, 15], qpos[:, 16]
    too_far_right = y >= 0.29
    beside_the_drawer = (y <= -0.3) & ((z < 0.06) | (z > 0.08))
    return not (too_far_right | beside_the_drawer).any()


def _arm_controllers(env: gymnasium.Env, recipe: Recipe) -> dict[str, Any]:
    """OGBench's controllers by the kind of object that is the target."""
    style, options = {
        "play": ("plan", {"noise": recipe.noise, "noise_smoothing": 0.5}),
        "noisy": ("markov", {"min_norm": 0.4}),
    }[recipe.kind]
    objects = {"cube": ("cube",), "scene": ("cube", "button", "drawer", "window"), "puzzle": ("button",)}
    if recipe.family == "puzzle":
        options["gripper_always_closed"] = True
    return {name: _controller_class(name, style)(env=env, **options) for name in objects[recipe.family]}


def _controller_class(name: str, style: str) -> type:
    """OGBench's class of a controller; one that follows a plan gets the faster `compute_plan`."""
    module = importlib.import_module(f"ogbench.manipspace.oracles.{style}.{name}_{style}")
    shipped = getattr(module, f"{name.title()}{style.title()}Oracle")
    return type(shipped.__name__, (shipped,), {"compute_plan": compute_plan}) if style == "plan" else shipped


def _forget_targets(scene: Any) -> None:
    """Set the scene's targets to those of a new environment.

    The scene keeps the targets of the last episode, and a closed-loop controller reads a target for one step before
    it is drawn (see `_attempt`): without this, an episode would depend on the one before.
    """
    scene._target_block = scene._target_button = 0
    scene._target_button_states[:] = 0
    scene._target_drawer_pos = scene._target_window_pos = 0.0
    scene.model.site("drawer_handle_center_target").pos[1] = 0.0
    scene.model.site("window_handle_center_target").pos[0] = 0.0
