"""Every setting of an experiment, as frozen dataclasses.

Sizes of observations and actions come from the dataset, the discount and the reward timing from the task. Settings
that only one critic has are defined with that critic, in a subclass of `CriticConfig` (see `critics.registry`).
"""

from evor_eqx.config.critic import CriticConfig
from evor_eqx.config.experiment import (
    Config,
    DataConfig,
    EvaluationConfig,
    InferenceConfig,
    PolicyConfig,
    TabularConfig,
)
from evor_eqx.config.training import MAX_SEED, FieldConfig, NetworkConfig, TrainConfig

__all__ = [
    "MAX_SEED",
    "Config",
    "CriticConfig",
    "DataConfig",
    "EvaluationConfig",
    "FieldConfig",
    "InferenceConfig",
    "NetworkConfig",
    "PolicyConfig",
    "TabularConfig",
    "TrainConfig",
]
