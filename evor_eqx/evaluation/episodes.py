"""What happened in episodes, as records."""

import dataclasses
from typing import Any

from evor_eqx.config import InferenceConfig


@dataclasses.dataclass(frozen=True)
class Episode:
    """What happened in one episode.

    - `inference`: the inference settings that the agent acted with.
    - `seed`: that of the environment's reset and of the agent's choices.
    - `ret`: the undiscounted sum of rewards.
    - `success`: whether the environment reported success at any step; None if no step's info said.
    - `length`: environment steps.
    - `reward_timing`: the state that reward and success were read from, before (`pre`) or after (`post`) the action;
      `own` for a task of your own.
    """

    inference: InferenceConfig
    seed: int
    ret: float
    success: bool | None
    length: int
    reward_timing: str

    def to_row(self) -> dict[str, Any]:
        """One flat record, the inference settings first."""
        return {**dataclasses.asdict(self.inference), **{n: v for n, v in vars(self).items() if n != "inference"}}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Episode":
        """The inverse of `to_row`."""
        names = [field.name for field in dataclasses.fields(InferenceConfig)]
        return cls(InferenceConfig(**{name: row.pop(name) for name in names}), **row)


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Episodes, ordered by settings and then by seeds, and their cost without the making of environments."""

    episodes: list[Episode]
    wall_seconds: float
    act_seconds: float  # the part of `wall_seconds` spent in the agent, its compilation included

    @property
    def env_steps(self) -> int:
        """Environment steps of all episodes."""
        return sum(episode.length for episode in self.episodes)
