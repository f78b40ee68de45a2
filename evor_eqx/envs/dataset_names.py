"""The names of OGBench's state-based datasets, and their parts."""

import difflib
from typing import NamedTuple

from evor_eqx.errors import UserError

_MAZES = ("medium", "large", "giant", "teleport")
ARM_ENVIRONMENTS = ("cube-single", "cube-double", "cube-triple", "scene", "puzzle-3x3", "puzzle-4x4")
# `slippery` is this project's: the same maze, but every action is executed with noise that the data do not show.
SLIPPERY = "-slippery"
SLIP = 1.0  # standard deviation of that noise, in units of the action
# All can be collected here: OGBench ships the controllers of points and arms; the ant's was trained here.
DATASETS = tuple(
    f"{env}-{kind}-v0"
    for envs, kinds in (
        ([f"pointmaze-{maze}" for maze in _MAZES], ("navigate", "stitch")),
        ([f"pointmaze-medium{SLIPPERY}"], ("navigate",)),
        (ARM_ENVIRONMENTS, ("play", "noisy")),
        ([f"antmaze-{maze}" for maze in _MAZES], ("navigate", "stitch", "explore")),
    )
    for env in envs
    for kind in kinds
    if (env, kind) != ("antmaze-giant", "explore")  # not published
)


class DatasetName(NamedTuple):
    """The parts of a dataset's name."""

    environment: str  # e.g. cube-single
    kind: str  # who collected it, e.g. play

    @property
    def family(self) -> str:
        """The family of the environment, e.g. cube."""
        return family(self.environment)


def dataset_name(name: str) -> str:
    """Full name of a known dataset: `-v0` is added if it is missing.

    **Raises:** UserError for an unknown dataset, with the most similar names.
    """
    full = name.removesuffix("-v0") + "-v0"
    if full in DATASETS:
        return full
    close = difflib.get_close_matches(full, DATASETS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "pointmaze-medium-navigate and cube-single-play are some"
    raise UserError(
        f"unknown dataset {name!r}: expected one of OGBench's {len(DATASETS)} (evor_eqx.envs.dataset_names.DATASETS), "
        f"or FILE.py:NAME for a task of your own; {hint}"
    )


def parse_dataset(name: str) -> DatasetName:
    """Split a dataset's name into its parts, e.g. cube-single-play-v0 into cube-single and play."""
    environment, _, kind = name.removesuffix("-v0").rpartition("-")
    return DatasetName(environment, kind)


def family(environment: str) -> str:
    """The family of an environment, e.g. cube for cube-single or cube-single-v0."""
    return environment.removesuffix("-v0").partition("-")[0]
