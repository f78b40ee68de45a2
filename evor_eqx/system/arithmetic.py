"""Settings of JAX that change numbers.

The command line ignores them, so that a run is what its configuration says. In your own program they stay, and become
part of a run's identity (`runs.run`): runs with and without them have folders of their own.

On a CPU the number of threads is such a setting: XLA adds up the rows of a batch (a bias's gradient) in as many parts.
It takes the number from the variable NPROC, or from the number of cores. It is `THREADS` on every machine, so that one
core and sixteen give the same weights. Another NPROC is heeded, also by commands, and becomes part of the identity.
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
THREADS = "2"
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


def choose_threads() -> None:
    """Choose the number of XLA's threads, unless a variable does. It must be called before JAX is used."""
    xla_bridge = sys.modules.get("jax._src.xla_bridge")
    if xla_bridge is not None and xla_bridge.backends_are_initialized():
        return
    os.environ.setdefault("NPROC", THREADS)


def changed_settings() -> dict[str, Any]:
    """The settings of this program that are not the usual ones, by name."""
    import jax

    found = {name: getattr(jax.config, name) for name in DEFAULTS}
    changed: dict[str, Any] = {name: value for name, value in found.items() if value != DEFAULTS[name]}
    changed |= {"XLA_FLAGS": fast} if (fast := _fast_flags()) else {}
    # Without the variable, JAX was used before this package was imported.
    threads = os.environ.get("NPROC", str(os.cpu_count()))
    return changed | ({"threads": threads} if threads != THREADS and jax.default_backend() == "cpu" else {})


def _fast_flags() -> list[str]:
    return [flag for flag in os.environ.get("XLA_FLAGS", "").split() if any(part in flag for part in _FAST)]
