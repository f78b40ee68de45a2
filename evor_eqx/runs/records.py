"""Configurations as JSON records: what names a run, and what a saved agent is made again from."""

from dataclasses import asdict
from typing import Any

from evor_eqx.config import CriticConfig, PolicyConfig

# Fields that came later, with the value at which they change nothing. Runs of before are without them, and keep their
# names.
_LATER = {"num_times": 1, "num_state_frequencies": 0}


def to_record(config: PolicyConfig | CriticConfig) -> dict[str, Any]:
    """A phase's configuration as JSON values: what names its runs.

    A critic's has its registered name as `kind`, and digests of the user's own code as `code`. Temperatures of a soft
    draw are left out where they have no effect, and so are a `num_times` of 1 and `num_state_frequencies` of 0.
    """
    fields = asdict(config, dict_factory=_without_later)
    if isinstance(config, PolicyConfig):
        return fields
    code = config.own_code()
    if config.next_draw != "soft":
        del fields["next_tau_r"], fields["next_tau_q"]
    return fields | {"kind": config.kind} | ({"code": code} if code else {})


def _without_later(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in fields if _LATER.get(name, ...) != value}
