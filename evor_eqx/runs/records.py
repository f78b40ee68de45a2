"""Configurations as JSON records: what names a run, and what a saved agent is made again from."""

from dataclasses import asdict
from typing import Any

from evor_eqx.config import CriticConfig, PolicyConfig


def to_record(config: PolicyConfig | CriticConfig) -> dict[str, Any]:
    """A phase's configuration as JSON values: what names its runs.

    A critic's has its registered name as `kind`, and digests of the user's own code as `code`.
    """
    if isinstance(config, PolicyConfig):
        return asdict(config)
    code = config.own_code()
    return asdict(config) | {"kind": config.kind} | ({"code": code} if code else {})
