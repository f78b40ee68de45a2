"""What JAX compiled once is kept on disk, and found there by the next process: a start takes a second, not ten."""

import jax

from evor_eqx import paths


def keep_compiled() -> None:
    """Keep compiled programs in `<home>/.cache/jax`, unless the user's JAX already has a place for them.

    Programs are found by a hash of the program, the versions and the device, so nothing stale is ever run; the folder
    may be deleted at any time. `JAX_ENABLE_COMPILATION_CACHE=0` switches it off.
    """
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(paths.home() / ".cache" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small programs make a start
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
