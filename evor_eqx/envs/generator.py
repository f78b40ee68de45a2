"""NumPy's global generator, which OGBench draws from: lent to one thread at a time, and given back as it was."""

import contextlib
import threading
from collections.abc import Iterator

import numpy as np

_lent = threading.RLock()  # OGBench has no argument for a generator, so threads cannot each have their own


@contextlib.contextmanager
def global_generator_kept() -> Iterator[None]:
    """Restore NumPy's global generator and its state on leaving.

    Other threads of this package wait until then: their draws would come from this block's generator.
    """
    with _lent:
        generator = np.random.get_bit_generator()  # pyright: ignore[reportAttributeAccessIssue]
        state = np.random.get_state(legacy=False)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_bit_generator(generator)  # pyright: ignore[reportAttributeAccessIssue]
            np.random.set_state(state)  # noqa: NPY002


@contextlib.contextmanager
def global_generator_lent() -> Iterator[None]:
    """Keep other threads of this package from drawing inside the block; what it does to the generator stays."""
    with _lent:
        yield
