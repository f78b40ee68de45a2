"""The affine map between an environment's actions and those that models see, which lie in [-1, 1]."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from evor_eqx.errors import UserError


@dataclass(frozen=True)
class ActionBounds:
    """The least and the largest action in the environment's units, one number for each coordinate."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, low: Any, high: Any) -> "ActionBounds":
        """Bounds from numbers or arrays. Raises UserError unless low < high in each coordinate."""
        low, high = (tuple(np.atleast_1d(np.asarray(end, np.float32)).tolist()) for end in (low, high))
        if len(low) != len(high) or not all(a < b for a, b in zip(low, high, strict=True)):
            raise UserError(f"bounds: got {low} to {high}, expected low < high for each coordinate; mend them")
        return cls(low, high)

    @classmethod
    def from_record(cls, record: dict[str, Sequence[float]] | None) -> "ActionBounds | None":
        """The inverse of `dataclasses.asdict`; None for None."""
        return None if record is None else cls(tuple(record["low"]), tuple(record["high"]))

    def to_unit(self, actions: Float[np.ndarray, "*b act"]) -> Float[np.ndarray, "*b act"]:
        """Actions of the environment in [-1, 1]."""
        centre, half = self._centre_and_half
        return np.clip((actions - centre) / half, -1.0, 1.0).astype(np.float32)

    def to_env(self, unit: Float[np.ndarray, "*b act"]) -> Float[np.ndarray, "*b act"]:
        """Actions in [-1, 1] in the environment's units; never outside of the bounds, also after rounding."""
        centre, half = self._centre_and_half
        return np.clip(centre + half * unit, self.low, self.high).astype(np.float32)

    def chunks_to_env(self, chunks: Float[np.ndarray, "*b chunk"]) -> Float[np.ndarray, "*b chunk"]:
        """As `to_env`, for chunks of h actions, flattened."""
        return self.to_env(chunks.reshape(*chunks.shape[:-1], -1, len(self.low))).reshape(chunks.shape)

    @property
    def _centre_and_half(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.array(self.low), np.array(self.high)
        return (low + high) / 2, (high - low) / 2
