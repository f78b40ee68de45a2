"""What happened in episodes, as records."""

import dataclasses
from typing import Any

from evor_eqx.config import InferenceConfig


@dataclasses.dataclass(frozen=True)
class Episode:
    """What happened in one episode."""

    inference: InferenceConfig
    seed: int
    ret: float  # undiscounted sum of rewards
    success: bool | None  # whether the environment reported success at any step; None if no step's info said
    length: int  # environment steps
    reward_timing: str  # reward and success from the state before ("pre") or after ("post") the action; "own" tasks

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
