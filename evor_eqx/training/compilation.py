"""Faster starts: compiled programs are kept for the next process, and programs that run once are not optimised."""

import os
from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from jaxtyping import Array, Key

from evor_eqx.errors import UserError
from evor_eqx.system import paths

Model = TypeVar("Model", bound=eqx.Module)
_UNOPTIMISED = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def keep_compiled() -> None:
    """Keep compiled programs in `<home>/.cache/jax`, unless the user's JAX already has a place for them.

    Programs are found by a hash of the program, the versions and the device, so nothing stale is ever run; the folder
    may be deleted at any time. `JAX_ENABLE_COMPILATION_CACHE=0` switches it off.

    Raises UserError if JAX has no device to run them on.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the second, if JAX failed before
        asked, said = os.environ.get("JAX_PLATFORMS", "nothing"), str(error).partition("\n")[0] or "it did not start"
        raise UserError(f"JAX_PLATFORMS is {asked}: expected a device that JAX finds ({said}); unset it") from None
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(paths.compiled_dir()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # many small programs make a start
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        reset_cache()  # JAX decides once, at its first compilation, whether there is a store


def initialised(make: Callable[[Key[Array, "*seeds"]], Model], key: Key[Array, "*seeds"]) -> Model:
    """`make(key)` in one program, compiled without optimisation because it runs once.

    Without it, the random numbers of each shape are a program of their own: 5 to 9 s for a critic, instead of 1 to 2 s.
    """
    shapes = eqx.filter_eval_shape(make, key)
    static = eqx.filter(shapes, lambda leaf: not isinstance(leaf, jax.ShapeDtypeStruct))
    arrays = jax.jit(lambda key: eqx.filter(make(key), eqx.is_array), compiler_options=_UNOPTIMISED)(key)
    return eqx.combine(arrays, static)
