"""Bounds of actions: the affine map between an environment's actions and those that models see, in [-1, 1]."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from evor_eqx.errors import UserError


@dataclass(frozen=True)
class ActionBounds:
    """The least and the largest action in the environment's units, one number for each coordinate.

    A coordinate whose ends are equal has that value always; models see 0 there.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    @classmethod
    def of(cls, low: Any, high: Any) -> "ActionBounds":
        """Bounds from numbers or arrays, rounded inwards to single precision, as actions are.

        Raises UserError unless low <= high in each coordinate.
        """
        low, high = (np.atleast_1d(np.asarray(end, np.float64)) for end in (low, high))
        if low.shape != high.shape or not (low <= high).all():
            raise UserError(f"bounds: got {low} to {high}, expected low <= high for each coordinate; mend them")
        return cls(_rounded(low, np.inf), _rounded(high, -np.inf))

    @classmethod
    def from_record(cls, record: dict[str, Sequence[float]] | None) -> "ActionBounds | None":
        """The inverse of `dataclasses.asdict`; None for None."""
        return None if record is None else cls(tuple(record["low"]), tuple(record["high"]))

    def to_unit(self, actions: Float[np.ndarray, "*b act"]) -> Float[np.ndarray, "*b act"]:
        """Actions of the environment in [-1, 1]."""
        centre, half = self._centre_and_half
        return np.clip((actions - centre) / np.where(half > 0, half, 1.0), -1.0, 1.0).astype(np.float32)

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


def _rounded(ends: np.ndarray, inwards: float) -> tuple[float, ...]:
    """Single-precision numbers, towards `inwards` where there is none that is the same."""
    single = ends.astype(np.float32)
    is_outside = single < ends if inwards > 0 else single > ends
    return tuple(np.where(is_outside, np.nextafter(single, np.float32(inwards)), single).tolist())


def given_ends(bounds: tuple[Any, Any], act_size: int) -> tuple[Float[np.ndarray, " act"], Float[np.ndarray, " act"]]:
    """Both ends of bounds (low, high), each a number or an array. Raises UserError unless low < high everywhere."""
    try:
        low, high = (np.broadcast_to(np.asarray(end, np.float64), (act_size,)) for end in bounds)
    except (TypeError, ValueError):
        raise UserError(
            f"bounds: got {bounds!r}, expected (low, high), numbers or arrays of size {act_size}, such as (-2, 2)"
        ) from None
    if not (low < high).all():
        raise UserError(f"bounds: got {bounds!r}, expected low < high for each coordinate; mend them")
    return low, high


def closed(low: np.ndarray, high: np.ndarray, act: Float[np.ndarray, "rows act"]) -> ActionBounds:
    """The bounds, with the least and the largest action of the data where there is no finite end."""
    low, high = (np.where(np.isfinite(end), end, edge) for end, edge in ((low, act.min(0)), (high, act.max(0))))
    return ActionBounds.of(low, high)
