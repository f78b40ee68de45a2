"""Configurations as JSON records: what names a run, and what a saved agent is made again from."""

from dataclasses import asdict, fields, is_dataclass
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
    values = _without_later(config, asdict(config))
    if isinstance(config, PolicyConfig):
        return values
    code = config.own_code()
    if config.next_draw != "soft":
        del values["next_tau_r"], values["next_tau_q"]
    return values | {"kind": config.kind} | ({"code": code} if code else {})


def _without_later(config: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The values of a configuration, also of those inside it, without later fields that change nothing.

    A field of a critic of the user's own may have the name of a later one: it stays, unless its default is the same.
    """
    for each in fields(config):
        value = getattr(config, each.name)
        if is_dataclass(value):
            _without_later(value, values[each.name])
        elif each.name in _LATER and value == _LATER[each.name] == each.default:
            del values[each.name]
    return values
