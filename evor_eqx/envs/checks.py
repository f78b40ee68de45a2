"""Whether an own environment can be used: its spaces, its first observation, and its way to a worker process."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Space
from jaxtyping import Float

from evor_eqx.errors import UserError, told
from evor_eqx.system.processes import blank_main

_INSTEAD = {
    "Discrete": "policies here choose continuous actions; use an environment with a Box of actions",
    "MultiDiscrete": "policies here choose continuous actions; use an environment with a Box of actions",
    "MultiBinary": "policies here choose continuous actions; use an environment with a Box of actions",
    "Dict": "join its entries to one vector, e.g. with gymnasium.wrappers.FlattenObservation, also in the data",
    "Tuple": "join its entries to one vector, e.g. with gymnasium.wrappers.FlattenObservation, also in the data",
    "Box": "images and other arrays are not supported; use one vector of numbers",
}


def flat_box(name: str, space: Space[Any]) -> Box:
    """The space as a box of vectors. Raises UserError for any other; `name` is observation or action."""
    if isinstance(space, Box) and len(space.shape) == 1:
        return space
    hint = _INSTEAD.get(type(space).__name__, "use a Box of vectors")
    raise UserError(f"{name} space: got {_short(space)}, expected a flat Box; {hint}")


def check_env(
    make_env: Callable[..., Any], obs_size: int, act_size: int, task: str
) -> tuple[Float[np.ndarray, " act"], Float[np.ndarray, " act"], tuple[Any, ...]]:
    """Make an environment once, and check it against the data.

    **Arguments:**

    - `make_env`: makes the environment.
    - `obs_size`, `act_size`: sizes of an observation and of an action in the data.
    - `task`: the task's name, for errors.

    **Returns:**

    The least and the largest action by its `action_space`, infinite where there is no bound, and `parts_of` the
    environment.

    **Raises:**

    UserError if it cannot be made or reset, cannot travel to a worker process, or does not fit the data.
    """
    _check_travels(make_env, task)
    env = _made(make_env, task)
    try:
        with told(f"spaces of the environment of {task}"):
            obs_space, act_space = flat_box("observation", env.observation_space), flat_box("action", env.action_space)
        for name, space, size in (("observations", obs_space, obs_size), ("actions", act_space, act_size)):
            if space.shape != (size,):
                raise UserError(
                    f"{name}: got size {size} in the data and {space.shape[0]} in the environment of {task}, expected "
                    "the same; give the data of this environment"
                )
        with told(f"reset of the environment of {task}"):
            obs = np.asarray(env.reset(seed=0)[0])
        if obs.shape != (obs_size,) or obs.dtype.kind not in "biuf" or not np.isfinite(obs).all():
            raise UserError(
                f"reset of the environment of {task}: got {_short(obs)} of shape {obs.shape}, expected {obs_size} "
                "finite numbers, as its observation space says; mend the environment"
            )
        with told(f"step of the environment of {task}"):
            outcome = env.step(np.clip(np.zeros(act_size), act_space.low, act_space.high).astype(act_space.dtype))
        if not (isinstance(outcome, tuple) and len(outcome) == 5):
            got = f"{len(outcome)} values" if isinstance(outcome, tuple) else type(outcome).__name__
            raise UserError(
                f"step of the environment of {task}: got {got}, expected observation, reward, terminated, truncated "
                "and info, as gymnasium has them; mend the environment"
            )
    finally:
        with contextlib.suppress(Exception):
            env.close()
    _check_new(make_env, env, task)
    return act_space.low.astype(np.float64), act_space.high.astype(np.float64), parts_of(env)


def _made(make_env: Callable[..., Any], task: str) -> gymnasium.Env[Any, Any]:
    with told(f"make_env of {task}"):
        env = make_env()
    if not isinstance(env, gymnasium.Env):
        raise UserError(f"make_env of {task}: got {type(env).__name__}, expected a gymnasium.Env; return one")
    return env


def _check_new(make_env: Callable[..., Any], env: gymnasium.Env[Any, Any], task: str) -> None:
    other = _made(make_env, task)
    if other.unwrapped is env.unwrapped:
        raise UserError(
            f"make_env of {task}: got the same environment twice, expected a new one from each call, because several "
            "run side by side; make it inside of the function"
        )
    with contextlib.suppress(Exception):
        other.close()


def parts_of(env: gymnasium.Env[Any, Any]) -> tuple[Any, ...]:
    """What an environment is made of: its class and those of its wrappers, each with what it was made with."""
    if isinstance(env, gymnasium.Wrapper):
        return type(env), getattr(env, "_saved_kwargs", None), *parts_of(env.env)
    return type(env), None if env.spec is None else (env.spec.id, env.spec.kwargs)


def _check_travels(make_env: Any, task: str) -> None:
    import cloudpickle  # as gymnasium's worker processes do

    if not callable(make_env):
        raise UserError(
            f"make_env of {task}: got {_short(make_env)}, expected a function that makes the environment, because "
            "every worker process makes its own; give lambda: gymnasium.make(...)"
        )
    try:
        with blank_main():  # as where a process is started
            cloudpickle.dumps(make_env)
    except Exception as error:
        raise UserError(
            f"make_env of {task}: got a function that cannot travel to worker processes ({error}), expected one that "
            "makes everything it needs; make files, threads and other environments inside of it"
        ) from error


def _short(thing: Any) -> str:
    text = " ".join(repr(thing).split())
    return text if len(text) < 80 else f"{text[:77]}..."


def check_references(returns: tuple[float, float]) -> None:
    """Raise UserError unless they are a lower and a higher return of an episode, both finite."""
    try:
        low, high = returns
        are_returns = bool(-math.inf < low < high < math.inf)
    except (TypeError, ValueError):
        are_returns = False
    if not are_returns:
        raise UserError(
            f"reference_returns: got {returns!r}, expected a lower and a higher return of an episode, such as (-800, 0)"
        )
