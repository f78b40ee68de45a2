"""Own arrays as a dataset: what they may be called, what ends an episode, and what is checked.

There are three layouts, told apart by the names of the arrays. They differ in what the end of an episode means:

- `valids` (OGBench's compact layout): an episode of L transitions has L + 1 rows. The last one has `valids` 0.
- `masks` beside `terminals` (OGBench's usual layout): `terminals` is 1 at an episode's last transition, `masks` is 0
  where the task ended.
- `timeouts` (D4RL's layout): `terminals` is 1 where the task ended, `timeouts` where the recording was cut.

`terminals` alone is refused: a time limit would silently become the end of the task, after which nothing is earned.
"""

import difflib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from evor_eqx.errors import UserError

NEEDED = ("observations", "actions", "rewards")
FLAGS = ("terminals", "timeouts", "masks", "valids")
NAMES = (*NEEDED, *FLAGS, "next_observations")
_OTHER_NAMES = {
    "obs": "observations",
    "states": "observations",
    "acts": "actions",
    "reward": "rewards",
    "dones": "terminals (the task ended) and timeouts (a time limit cut the recording)",
    "terminations": "terminals",
    "truncations": "timeouts",
    "truncated": "timeouts",
    "next_obs": "next_observations",
    "next_states": "next_observations",
}


class Rows(NamedTuple):
    """Rows as `OfflineDataset` has them: an episode of L transitions has L + 1 rows."""

    obs: Float[np.ndarray, "rows obs"]
    act: Float[np.ndarray, "rows act"]
    reward: Float[np.ndarray, " rows"]
    mask: Float[np.ndarray, " rows"]
    last_row: Int[np.ndarray, " rows"]
    ended: Bool[np.ndarray, " rows"]  # whether the task ended at the end of the row's episode
    given_row: Int[np.ndarray, " rows"]  # the row's number in the arrays that were given


def rows_from_arrays(arrays: Mapping[str, Any]) -> Rows:
    """Check arrays, and bring them into the layout of `OfflineDataset`.

    **Arguments:**

    - `arrays`: arrays by name, one row each for N recorded steps. `observations` [N, obs], `actions` [N, act],
      `rewards` [N], and the flags [N] of one of the layouts above. `next_observations` [N, obs] is optional. Without
      it, the last step of an episode that was cut by a time limit is left out, because nobody knows where it led.

    **Raises:**

    UserError for names that are missing or unknown, for wrong shapes, types and numbers of rows, for values that are
    not finite, for a last episode that does not end, and for rows that are not in the order of time.
    """
    _check_names(arrays)
    values = {name: _numbers(name, array) for name, array in arrays.items()}
    num_rows = {name: len(array) for name, array in values.items()}
    if len(set(num_rows.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in num_rows.items())
        raise UserError(f"numbers of rows: got {counts}, expected the same for all; one row for each recorded step")
    if num_rows["observations"] == 0:
        raise UserError("observations: got no rows, expected at least one episode; record some steps")
    if "next_observations" in values and values["next_observations"].shape != values["observations"].shape:
        got, expected = values["next_observations"].shape, values["observations"].shape
        raise UserError(f"next_observations: got shape {got}, expected that of observations, {expected}; leave it out")
    if "valids" in values:
        return _compact(values)
    return _compacted(values, *_ends(values))


def _check_names(arrays: Mapping[str, Any]) -> None:
    for name in arrays:
        if name not in NAMES:
            close = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else difflib.get_close_matches(name, NAMES, n=1)
            hint = f"did you mean {close[0]}?" if close else "leave it out"
            raise UserError(f"array {name!r}: got an unknown name, expected some of {', '.join(NAMES)}; {hint}")
    for name in NEEDED:
        if name not in arrays:
            raise UserError(f"{name}: got no such array, expected {', '.join(NEEDED)} and what ends an episode; add it")
    flags = [name for name in FLAGS if name in arrays]
    if "timeouts" in flags and len({"masks", "valids"} & set(flags)) > 0:
        raise UserError(
            f"ends of episodes: got {', '.join(flags)}, expected timeouts (D4RL's layout) or masks or valids "
            "(OGBench's), because terminals means something else in each; leave one of them out"
        )
    if flags == ["terminals"]:
        raise UserError(
            "ends of episodes: got terminals alone, expected timeouts or masks beside them, because a time limit is "
            "not the end of the task; give timeouts (1 where a time limit cut the recording; zeros if none did)"
        )
    if "timeouts" not in flags and "valids" not in flags and not {"terminals", "masks"} <= set(flags):
        raise UserError(
            f"ends of episodes: got {', '.join(flags) or 'nothing'}, expected terminals and timeouts (D4RL's layout), "
            "terminals and masks, or valids (OGBench's); add them"
        )


def _numbers(name: str, array: Any) -> np.ndarray:
    """An array in single precision, of the rank that its name needs."""
    try:
        array = np.asarray(array)
    except ValueError:
        raise UserError(f"{name}: got rows of different lengths, expected the same for all; give one array") from None
    if array.dtype.kind not in "biuf":
        raise UserError(f"{name}: got values of type {array.dtype}, expected numbers; convert them with np.asarray")
    rank, axes = (1, "[rows]") if name in (*FLAGS, "rewards") else (2, f"[rows, {name.rstrip('s')} size]")
    if array.ndim != rank or 0 in array.shape[1:]:
        hint = "give one number for each row" if rank == 1 else "flatten each to one vector; images are not supported"
        hint = "give at least one coordinate" if array.ndim == rank else "add an axis" if array.ndim < rank else hint
        raise UserError(f"{name}: got shape {array.shape}, expected {axes}; {hint}")
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    if not np.isfinite(single).all():
        place = np.argwhere(~np.isfinite(single))[0]
        raise UserError(
            f"{name}: got {array[tuple(place)]} in row {place[0]}{_coordinate(place)}, expected finite values that fit "
            "into single precision; mend or leave out its episode"
        )
    if name in FLAGS and not np.isin(single, (0.0, 1.0)).all():
        row = int(np.argmax(~np.isin(single, (0.0, 1.0))))
        raise UserError(f"{name}: got {array[row]} in row {row}, expected 0 or 1 in each row; convert it")
    return single


def _coordinate(place: np.ndarray) -> str:
    return f", coordinate {place[1]}" if len(place) > 1 else ""


def _ends(values: Mapping[str, np.ndarray]) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Whether each step is the last of its episode, and its mask, which is 0 where the task ended."""
    terminals = values.get("terminals", np.zeros(len(values["rewards"]), np.float32))
    if "timeouts" in values:
        if terminals.any() and (terminals == values["timeouts"]).all():
            raise UserError(
                "ends of episodes: got terminals and timeouts that are the same in every row, expected terminals 1 "
                "only where the task ended, because a time limit is not the end of the task; set them apart"
            )
        ends, masks, flags = (terminals > 0) | (values["timeouts"] > 0), 1.0 - terminals, "terminals or timeouts"
    else:
        ends, masks, flags = terminals > 0, values["masks"], "terminals"
    if not ends[-1]:
        first = int(np.flatnonzero(ends)[-1]) + 1 if ends.any() else 0
        cut = "timeouts" if "timeouts" in values else "terminals"
        raise UserError(
            f"ends of episodes: got no end of the episode that begins in row {first}, expected {flags} 1 in its last "
            f"row, {len(ends) - 1}; if the recording was cut there, set {cut} to 1"
        )
    return ends, masks


def _compact(values: Mapping[str, np.ndarray]) -> Rows:
    """Rows that are in the compact layout already."""
    valids = values["valids"] > 0
    if valids[-1]:
        raise UserError(
            f"ends of episodes: got valids 1 in the last row, {len(valids) - 1}, expected 0, because the last row of "
            "an episode starts no transition; leave out the episode that was cut off"
        )
    mask = values.get("masks", np.ones(len(valids), np.float32))
    return _rows(values["observations"], values["actions"], values["rewards"], mask, ~valids, np.arange(len(valids)))


def _compacted(values: Mapping[str, np.ndarray], ends: np.ndarray, masks: np.ndarray) -> Rows:
    """Rows of steps, with a row for the state after the last step of each episode where that state is known.

    After the end of the task the state does not matter, because nothing is earned there: the last one stands for it.
    The action in such a row is that of the row before it.
    """
    obs, following = values["observations"], values.get("next_observations")
    if following is not None:
        _check_order(obs, following, ends)
    adds = ends & ((masks == 0) | (following is not None))
    at = np.flatnonzero(adds)
    given_row = np.insert(np.arange(len(obs)), at + 1, at)
    is_added = np.insert(np.zeros(len(obs), bool), at + 1, True)
    rows = obs[given_row]
    if following is not None:
        rows[is_added] = following[at]
    reward = np.where(is_added, 0.0, values["rewards"][given_row]).astype(np.float32)
    mask = np.where(is_added, 1.0, masks[given_row]).astype(np.float32)
    is_last = is_added | (ends & ~adds)[given_row]
    return _rows(rows, values["actions"][given_row], reward, mask, is_last, given_row)


def _check_order(obs: np.ndarray, following: np.ndarray, ends: np.ndarray) -> None:
    """Raise UserError if a step does not lead to the next row of its episode."""
    leads = np.isclose(following[:-1], obs[1:], rtol=1e-4, atol=1e-5).all(axis=1) | ends[:-1]
    if not leads.all():
        row = int(np.argmin(leads))
        raise UserError(
            f"next_observations: got another state in row {row} than observations has in row {row + 1} of the same "
            "episode, expected steps in the order of time; sort them, or mark the end of the episode"
        )


def _rows(obs, act, reward, mask, is_last, given_row) -> Rows:
    ends = np.flatnonzero(is_last)
    last_row = ends[np.searchsorted(ends, np.arange(len(obs)))].astype(np.int32)
    before_last = np.maximum(last_row - 1, 0)
    ended = (mask[before_last] == 0) & (np.append(-1, ends[:-1])[np.searchsorted(ends, last_row)] < last_row - 1)
    if not (np.arange(len(obs)) < last_row).any():
        raise UserError(
            "ends of episodes: got no episode with a step whose next state is known, expected at least one; give "
            "next_observations, or longer episodes"
        )
    return Rows(obs, act, reward, mask, last_row, ended, given_row.astype(np.int32))
