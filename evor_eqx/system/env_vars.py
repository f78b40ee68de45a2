"""Environment variables for processes that are started inside a block."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def environment_variables(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set variables, or unset those that are None; restore the earlier values on leaving."""
    before = {name: os.environ.pop(name, None) for name in changes}
    os.environ.update({name: value for name, value in changes.items() if value is not None})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


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
