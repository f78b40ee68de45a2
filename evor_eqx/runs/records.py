"""Configurations as JSON records: what names a run, and what a saved agent is made again from."""

from dataclasses import asdict
from typing import Any

from evor_eqx.config import CriticConfig, PolicyConfig


def to_record(config: PolicyConfig | CriticConfig) -> dict[str, Any]:
    """A phase's configuration as JSON values: what names its runs.

    A critic's has its registered name as `kind`, and digests of the user's own code as `code`. Temperatures of a soft
    draw are left out where they have no effect.
    """
    if isinstance(config, PolicyConfig):
        return asdict(config)
    code = config.own_code()
    unused = () if config.next_draw == "soft" else ("next_tau_r", "next_tau_q")
    fields = {name: value for name, value in asdict(config).items() if name not in unused}
    return fields | {"kind": config.kind} | ({"code": code} if code else {})
