"""`evor doctor`: what is on this machine, for a bug report."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass

_LIBRARIES = ("jax", "equinox", "optax", "ogbench", "mujoco", "gymnasium", "numpy")
_EXTRAS = {  # what an extra brings, by a package that only it has
    "notebooks": "papermill",
    "minari": "minari",
    "parquet": "pyarrow",
    "workflow": "snakemake",
}


@dataclass(frozen=True)
class Doctor:
    """Tell what is there: versions, devices, OpenGL, disk, home folder and cores. Paste it into a bug report."""

    def run(self) -> int:
        """Print a line for each."""
        for name, found in report().items():
            print(f"{name:10s} {found}")
        return 0


def report() -> dict[str, str]:
    """What is there, by name."""
    import jax

    from evor_eqx.envs import rendering
    from evor_eqx.system import paths
    from evor_eqx.system.processes import cpu_quota, num_cores

    home = paths.home()
    free = shutil.disk_usage(next(folder for folder in (home, *home.parents) if folder.exists())).free
    extras = [f"{name} {'yes' if importlib.util.find_spec(one) else 'no'}" for name, one in _EXTRAS.items()]
    return {
        "evor_eqx": f"{importlib.metadata.version('evor_eqx')}, {'checkout' if paths.checkout() else 'installed'}",
        "python": f"{platform.python_version()} on {platform.platform()}",
        "libraries": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES),
        "extras": ", ".join(extras),
        "devices": ", ".join(f"{device.platform} {device.device_kind}" for device in jax.devices()),
        "cores": f"{num_cores()} of {os.cpu_count()}, quota {cpu_quota() or 'none'}",
        "memory": _memory(),
        "OpenGL": rendering.prepare() or f"works with {os.environ.get('MUJOCO_GL', 'the default backend')}",
        "home": f"{home}, {free / 1e9:.0f} GB free",
        "variables": " ".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith("EVOR_")) or "none",
    }


def _memory() -> str:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "unknown"
    return f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB"
