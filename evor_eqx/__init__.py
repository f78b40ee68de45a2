"""EVOR: expressive value learning for offline RL with flows (arXiv 2510.08218), as a workbench in Equinox.

The way of the data: dataset -> base policy (flow behaviour cloning) -> reward-to-go critic (flow TD) -> inference
(softmax over Q*) -> evaluation -> run folder -> figures. `pipeline` walks it; the modules below it can be used alone.
"""

from evor_eqx.config import Config, CriticConfig, PolicyConfig, Setting
from evor_eqx.errors import UserError
from evor_eqx.inference import act, candidate_weights, decide
from evor_eqx.laws import soft_value
from evor_eqx.presets import PRESETS, preset
from evor_eqx.shapes import Batch, ReturnLaw

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
