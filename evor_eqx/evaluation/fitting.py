"""Whether an agent was made for a task: sizes, bounds of actions. And the task with the agent's discount."""

from typing import Any

import gymnasium

from evor_eqx.agent.agent import Agent
from evor_eqx.data.bounds import ActionBounds
from evor_eqx.data.custom import CustomTask
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError


def with_agents_discount(agent: Agent, task: Task) -> Task:
    """The task with the discount of the agent's critic: recorded returns and its distributions are of the same sum."""
    return task.with_discount(agent.facts.get("gamma"))


def check_fits(agent: Agent, task: Task, obs_size: int, act_size: int, *, on_data: bool = False) -> None:
    """Raise UserError for an agent that was not made for the task, whose observations and actions have these sizes.

    With `on_data`, it is to be compared with the task's data. Otherwise it only acts, so where actions have no end it
    may come from other data of the environment, and so have other bounds.
    """
    got, expected = (agent.obs_size, agent.act_size), (obs_size, act_size)
    if got != expected:
        raise UserError(
            f"agent for {task.name}: got one for observations of size {got[0]} and actions of size {got[1]}, expected "
            f"sizes {expected[0]} and {expected[1]}; give an agent of {task.dataset}"
        )
    own = task.bounds if isinstance(task, CustomTask) else None
    if isinstance(task, CustomTask) and task.scaled_by_data and not on_data:
        return
    unit = ActionBounds.of([-1.0] * act_size, [1.0] * act_size)
    if (agent.bounds or unit) != (own or unit):
        raise UserError(
            f"agent for {task.name}: got one whose actions lie in {_shown(agent.bounds or unit)}, expected "
            f"{_shown(own or unit)}; give an agent of {task.dataset}"
        )


def sizes_of(env: gymnasium.Env) -> tuple[int, int]:
    """The sizes of an environment's observations and actions, which are vectors."""
    spaces: list[Any] = [env.observation_space, env.action_space]
    return spaces[0].shape[0], spaces[1].shape[0]


def _shown(bounds: ActionBounds) -> str:
    return " x ".join(f"[{low:g}, {high:g}]" for low, high in zip(bounds.low, bounds.high, strict=True))
