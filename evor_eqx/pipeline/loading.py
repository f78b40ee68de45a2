"""Models of finished runs."""

from collections.abc import Callable
from typing import Any

from evor_eqx.agent.saving import blank_critic, blank_policy
from evor_eqx.config import CriticConfig, PolicyConfig, from_record
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.policy import FlowPolicy
from evor_eqx.runs.run import Run
from evor_eqx.training import loop
from evor_eqx.training.fit import Trained, moving_average


def load_policy(run: Run, step: int | None = None) -> Trained[FlowPolicy]:
    """The base policy of a finished run, or its snapshot after `step` updates."""
    return _load(run, blank_policy, PolicyConfig, "policy", step)


def load_critic(run: Run, step: int | None = None) -> Trained[AbstractCritic]:
    """The critic of a finished run, or its snapshot after `step` updates."""
    return _load(run, blank_critic, CriticConfig, "critic", step)


def _load(run: Run, blank: Callable[..., Any], kind: type, phase: str, step: int | None) -> Trained[Any]:
    record, sizes = run.config[phase], run.manifest["sizes"]
    config = from_record(kind, record).train
    return Trained(moving_average(run, lambda: loop.init_state(blank(record, sizes), config), step), run)
