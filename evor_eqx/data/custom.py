"""Your own task: own data, own environment, own discount. It goes wherever a task of OGBench goes."""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evor_eqx.data.bounds import ActionBounds, closed, given_ends
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.description import Description, describe_splits
from evor_eqx.data.pieces import digest
from evor_eqx.data.returns import reward_range
from evor_eqx.data.sources import Source, Split
from evor_eqx.envs.checks import check_env, check_references
from evor_eqx.envs.dataset_names import dataset_name
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError
from evor_eqx.system.code_identity import code_digest, versioned
from evor_eqx.system.files import check_name, short_hash

if TYPE_CHECKING:
    import gymnasium


@dataclass(frozen=True)
class OwnRows(Source):
    """The rows of an own task, in memory; models see their actions in [-1, 1]."""

    rows: Mapping[Split, OfflineDataset] = field(hash=False, compare=False, kw_only=True, repr=False)
    bounds: ActionBounds = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class CustomTask(Task):
    """Your own task; `custom_task` makes and checks it. Two are equal if their data, discount and environment are."""

    name: str
    gamma: float
    train: OfflineDataset = field(repr=False)
    validation: OfflineDataset = field(repr=False)
    bounds: ActionBounds
    scaled_by_data: bool  # whether an end of `bounds` is that of the data, because the environment has none
    make_env: "Callable[..., gymnasium.Env[Any, Any]]"
    env_parts: tuple[Any, ...] = field(default=(), repr=False)  # see `envs.checks.parts_of`
    has_env: bool = True
    reference_returns: tuple[float, float] | None = None
    reward_timing: str = "own"  # rewards are what the environment says

    def with_discount(self, gamma: float | None) -> "CustomTask":
        if gamma is None or gamma == self.gamma:
            return self
        changed = replace(self, gamma=gamma)
        changed.__dict__["source"] = self.source  # the same rows, whose digest takes time
        return changed

    @property
    def dataset(self) -> str:
        """The name of its data, which is the task's."""
        return self.name

    @property
    def env_identity(self) -> str:
        """A digest of `make_env` and of the environment's parts by their code as it is now; empty without one."""
        made = (self.make_env, self.env_parts)
        return code_digest(made, f"make_env of {self.name}") if self.has_env else ""

    @property
    def definition_digest(self) -> str:
        """A digest of what results depend on beside the data: discount, environment and reference returns."""
        return short_hash([self.gamma, self.env_identity, self.reference_returns])

    @cached_property
    def source(self) -> OwnRows:
        """The rows as models see them, with a fingerprint of all their values."""
        rows: dict[Split, OfflineDataset] = {
            "train": self._in_unit(self.train),
            "val": self._in_unit(self.validation),
        }
        arrays = [digest(split) for split in rows.values()]
        fingerprint = short_hash([arrays, self.bounds.low, self.bounds.high])
        return OwnRows(self.name, "own", Path("."), fingerprint, {"files": {}}, rows=rows, bounds=self.bounds)

    @cached_property
    def reward_range(self) -> tuple[float, float]:
        """The least and the largest reward of the data, of both splits: an environment may hold others."""
        return reward_range(self.train, self.validation)

    def describe(self) -> Description:
        """Episodes, steps, returns and bounds of both splits, as a table; a notebook shows it as HTML.

        It also says how many steps have a known return, which a critic can be compared with.
        """
        ends = "by the range of the data, because the bounds have no end" if self.scaled_by_data else "by their bounds"
        facts = {
            "actions for models": f"scaled to [-1, 1] {ends}",
            "environment": "yes"
            if self.has_env
            else "none: the task can be trained and evaluated offline, but not rolled out",
        }
        return describe_splits({"training": self.train, "validation": self.validation}, self.name, facts, self.gamma)

    @property
    def _identity(self) -> tuple[Any, ...]:
        return self.name, self.gamma, self.source.fingerprint, self.env_identity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CustomTask) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def _in_unit(self, dataset: OfflineDataset) -> OfflineDataset:
        return replace(dataset, act=self.bounds.to_unit(dataset.act))


def custom_task(
    name: str,
    train: OfflineDataset,
    validation: OfflineDataset,
    *,
    make_env: "Callable[..., gymnasium.Env[Any, Any]] | None" = None,
    gamma: float = 0.99,
    bounds: tuple[Any, Any] | None = None,
    reference_returns: tuple[float, float] | None = None,
    version: str | None = None,
) -> CustomTask:
    """Your own task, for `fit`, `evaluate`, `explore` and everything else that takes a task.

    **Arguments:**

    - `name`: names it in run folders, results and pictures.
    - `train`, `validation`: the data, with actions in the environment's own units; see `OfflineDataset.from_arrays`.
    - `make_env`: a function that makes the gymnasium environment. It is also called in worker processes, and travels
      there together with what it reaches, also from a notebook. An argument `render_mode` is given to it where
      pictures are wanted. Without an environment the task can be trained and evaluated on held-out rows.
    - `gamma`: the discount per step, in (0, 1).
    - `bounds`: the least and the largest action, numbers or arrays [act]. By default those of the environment's
      `action_space`. Where there is no finite bound, actions are scaled by the range of the data.
    - `reference_returns`: undiscounted returns of an episode that are normalised to 0 and 100 in tables.
    - `version`: stands for the code of `make_env` and of the environment if their source cannot be read.

    **Raises:**

    UserError for a name that is taken or cannot name a folder, for data that do not fit each other, the environment or
    the bounds, and for an environment that cannot be made, has discrete actions, or has observations that are no
    vectors.
    """
    _check_name(name)
    if not isinstance(gamma, Real) or isinstance(gamma, bool) or not 0 < gamma < 1:
        raise UserError(f"gamma: got {gamma!r}, expected a discount per step between 0 and 1, such as 0.99")
    for split, dataset in (("train", train), ("validation", validation)):
        if not isinstance(dataset, OfflineDataset):
            raise UserError(
                f"{split}: got {type(dataset).__name__}, expected an OfflineDataset; make one with "
                "OfflineDataset.from_arrays or from_file"
            )
    _check_sizes(train, validation)
    given = None if bounds is None else given_ends(bounds, train.act.shape[1])
    if make_env is not None:
        low, high, env_parts = check_env(make_env, train.obs.shape[1], train.act.shape[1], name)
        if version is not None:  # of this task's own function, whatever else becomes of the one that was given
            make_env, env_parts = versioned(functools.partial(make_env), version), ()
    else:
        low, high = (np.full(train.act.shape[1], end) for end in (-np.inf, np.inf))
        env_parts = ()
    if given is not None:
        if (given[0] < low).any() or (given[1] > high).any():
            raise UserError(
                f"bounds: got {given[0]} to {given[1]}, expected bounds inside of those of the action space, {low} to "
                f"{high}, because the environment takes no others; leave bounds out"
            )
        low, high = given
    for split, dataset in (("train", train), ("validation", validation)):
        _check_inside(dataset, low, high, split)
    is_open = ~(np.isfinite(low) & np.isfinite(high))
    if reference_returns is not None:
        check_references(reference_returns)
    task = CustomTask(
        name=name,
        gamma=float(gamma),
        train=train,
        validation=validation,
        bounds=closed(low, high, np.concatenate([train.act, validation.act])),
        scaled_by_data=bool(is_open.any()),
        make_env=functools.partial(_no_env, name) if make_env is None else make_env,
        has_env=make_env is not None,
        env_parts=env_parts,
        reference_returns=reference_returns,
    )
    _ = task.env_identity  # an environment without source code is refused here
    return task


def _no_env(name: str, **_: Any) -> "gymnasium.Env[Any, Any]":
    raise UserError(
        f"task {name} has no environment, expected one for rollouts; give `make_env` to custom_task, or evaluate "
        "the agent with evaluate_offline"
    )


def _check_name(name: str) -> None:
    check_name(name, "task", "pendulum")
    try:
        dataset_name(re.sub(r"(-sparse)?(-singletask)?(-task\d+)?(-v0)?$", "", name))
    except UserError:
        return
    raise UserError(f"name of the task: got {name!r}, which is OGBench's, expected a name of its own; choose another")


def _check_sizes(train: OfflineDataset, validation: OfflineDataset) -> None:
    for what in ("obs", "act"):
        sizes = [getattr(dataset, what).shape[1] for dataset in (train, validation)]
        if sizes[0] != sizes[1]:
            long = {"obs": "observations", "act": "actions"}[what]
            raise UserError(
                f"{long}: got size {sizes[0]} in train and {sizes[1]} in validation, expected the same; give data of "
                "one environment"
            )


def _check_inside(dataset: OfflineDataset, low: np.ndarray, high: np.ndarray, split: str) -> None:
    outside = (dataset.act < low.astype(np.float32)) | (dataset.act > high.astype(np.float32))  # as the data's
    if not outside.any():
        return
    row, coordinate = np.argwhere(outside)[0]
    raise UserError(
        f"actions of {split}: got {dataset.act[row, coordinate]:g} in {dataset.where(int(row))}, coordinate "
        f"{coordinate}, expected {low[coordinate]:g} to {high[coordinate]:g}, the bounds of an action; give actions as "
        "the environment takes them, or clip them if the environment does"
    )
