"""Hand memory that is no longer used back to the operating system."""

import contextlib
import ctypes
import gc


def give_back() -> None:
    """Collect garbage, and give freed memory back to the operating system where the C library can do so (glibc).

    MuJoCo's models of the arms are hundreds of megabytes large and lie in reference cycles. glibc keeps what is freed,
    for each thread apart, and JupyterLab runs each press of a button in one of several threads.
    """
    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # other C libraries; Windows
        ctypes.CDLL(None).malloc_trim(0)
