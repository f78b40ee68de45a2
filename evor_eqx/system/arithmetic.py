"""Settings of JAX that change numbers.

The command line ignores them, so that a run is what its configuration says. In your own program they stay, and become
part of a run's identity (`runs.run`): runs with and without them have folders of their own.
"""

import os
import sys
from typing import Any

DEFAULTS = {
    "jax_enable_x64": False,
    "jax_threefry_partitionable": True,
    "jax_default_prng_impl": "threefry2x32",
    "jax_default_matmul_precision": None,
}
_FAST = ("fast_math", "fast_min_max", "allow_excess_precision")  # parts of the names of XLA's flags


def ignore_settings() -> list[str]:
    """Take the settings out of the environment variables; returns what was taken out.

    Nothing is done once JAX is imported, because it has read them then.
    """
    if "jax" in sys.modules:
        return []
    names = [name.upper() for name in DEFAULTS if os.environ.pop(name.upper(), None) is not None]
    if fast := _fast_flags():
        os.environ["XLA_FLAGS"] = " ".join(flag for flag in os.environ["XLA_FLAGS"].split() if flag not in fast)
    return names + fast


def changed_settings() -> dict[str, Any]:
    """The settings of this program that are not JAX's defaults, by name."""
    import jax

    found = {name: getattr(jax.config, name) for name in DEFAULTS}
    changed: dict[str, Any] = {name: value for name, value in found.items() if value != DEFAULTS[name]}
    return changed | ({"XLA_FLAGS": fast} if (fast := _fast_flags()) else {})


def _fast_flags() -> list[str]:
    return [flag for flag in os.environ.get("XLA_FLAGS", "").split() if any(part in flag for part in _FAST)]
