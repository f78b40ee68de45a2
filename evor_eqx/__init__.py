"""EVOR: expressive value learning for offline RL with flows (arXiv 2510.08218), as a workbench in Equinox.

The way of the data: dataset -> base policy (flow behaviour cloning) -> reward-to-go critic (flow TD) -> inference
(softmax over Q*) -> evaluation -> run folder -> figures. `pipeline` walks it; the modules below it can be used alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evor_eqx.agent.agent import act, decide
    from evor_eqx.agent.selection import candidate_weights
    from evor_eqx.config import Config, CriticConfig, PolicyConfig, Setting
    from evor_eqx.distributions import ReturnLaw, soft_value
    from evor_eqx.errors import UserError
    from evor_eqx.presets import PRESETS, preset
    from evor_eqx.types import Batch

__all__ = [
    "PRESETS",
    "Batch",
    "Config",
    "CriticConfig",
    "PolicyConfig",
    "ReturnLaw",
    "Setting",
    "UserError",
    "act",
    "candidate_weights",
    "decide",
    "preset",
    "soft_value",
]

_MODULES = {
    "config": {"Config", "CriticConfig", "PolicyConfig", "Setting"},
    "errors": {"UserError"},
    "agent.agent": {"act", "candidate_weights", "decide"},
    "distributions": {"soft_value"},
    "presets": {"PRESETS", "preset"},
    "types": {"Batch", "ReturnLaw"},
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: processes that only simulate never wait for JAX (two seconds)."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"evor_eqx.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
