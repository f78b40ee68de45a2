"""The way that an agent takes from a recorded state: where its decisions lead in the environment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from evor_eqx.agent.agent import Agent
from evor_eqx.envs.tasks import Task
from evor_eqx.evaluation.monte_carlo import Physics, episodes_from


def states_ahead(
    agent: Agent,
    task: Task,
    physics: Physics,
    *,
    max_steps: int = 200,
    seed: int = 0,
    first_chunk: Float[np.ndarray, " chunk"] | None = None,
) -> Float[np.ndarray, "decisions obs"]:
    """The observations at the decisions of one rollout from a recorded state.

    **Arguments:**

    - `agent`, `task`: who acts, and on what.
    - `physics`: the state; see `envs.physics.place`.
    - `max_steps`: environment steps after which the rollout ends, if the task does not end before.
    - `seed`: of the rollout.
    - `first_chunk`: what is done first, in place of the agent's first decision.

    **Raises:**

    UserError as `monte_carlo.returns_from` does.
    """
    watcher = _Watcher(agent, first_chunk)
    episodes_from([physics], agent, task, [agent.inference], [seed], max_steps, 1, actor=watcher)
    return np.stack(watcher.seen)


@dataclass
class _Watcher:
    """An agent that notes what it sees."""

    agent: Agent
    first_chunk: np.ndarray | None
    seen: list[np.ndarray] = field(default_factory=list)

    def act_each(self, obs: np.ndarray, keys: Any, settings: Sequence[Any]) -> np.ndarray:
        """As that of the agent, but for the first chunk."""
        self.seen.append(np.array(obs[0]))
        if len(self.seen) == 1 and self.first_chunk is not None:
            return self.first_chunk[None]
        return self.agent.act_each(obs, keys, settings)
