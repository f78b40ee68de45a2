"""Environment variables for processes that are started. Those of this process stay as they are."""

import os
from collections.abc import Mapping
from pathlib import Path


def environment_with(changes: Mapping[str, str | None]) -> dict[str, str]:
    """This process's variables with these changes, and without those that are None."""
    return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}


def compiled_programs(folder: Path) -> dict[str, str]:
    """Variables that tell the JAX of a new process to keep its compiled programs in a folder.

    Empty if the user's own variables already name a folder.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return {}
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # many small programs make a start
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
