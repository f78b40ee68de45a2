"""Configurations as JSON records: what names a run, and what a saved agent is made again from."""

from dataclasses import asdict
from typing import Any

from evor_eqx.config import CriticConfig, PolicyConfig


def to_record(config: PolicyConfig | CriticConfig) -> dict[str, Any]:
    """A phase's configuration as JSON values: what names its runs.

    A critic's has its registered name as `kind`, and digests of the user's own code as `code`. Temperatures of a soft
    draw are left out where they have no effect, and so is a `num_times` of 1, which runs of before do not have.
    """
    if isinstance(config, PolicyConfig):
        return asdict(config)
    code = config.own_code()
    fields = asdict(config)
    if config.next_draw != "soft":
        del fields["next_tau_r"], fields["next_tau_q"]
    if fields.get("num_times") == 1:
        del fields["num_times"]
    return fields | {"kind": config.kind} | ({"code": code} if code else {})
