"""Saving and loading of agents."""

from typing import Any

import jax
import jax.numpy as jnp

from evor_eqx.config import CriticConfig, PolicyConfig, from_record
from evor_eqx.critics.base import AbstractCritic, ReturnScale
from evor_eqx.critics.factory import make_critic
from evor_eqx.policy import FlowPolicy, make_policy


def blank_policy(record: dict[str, Any], sizes: dict[str, Any]) -> FlowPolicy:
    """A policy of a recorded configuration, with weights of no meaning: the shape to read recorded ones into."""
    return make_policy(from_record(PolicyConfig, record), **sizes, key=jax.random.key(0))


def blank_critic(record: dict[str, Any], sizes: dict[str, Any]) -> AbstractCritic:
    """A critic of a recorded configuration, as `blank_policy`."""
    with jax.ensure_compile_time_eval():  # numbers also where only shapes are asked for: histograms check their range
        scale = ReturnScale(*map(jnp.asarray, (0.0, 1.0, -1.0, 1.0)))
    return make_critic(from_record(CriticConfig, record), **sizes, key=jax.random.key(0), scale=scale)
