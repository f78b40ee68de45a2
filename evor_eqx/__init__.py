"""EVOR: expressive value learning for offline RL with flows (arXiv 2510.08218), as a workbench in Equinox.

The way of the data: dataset -> base policy (flow behaviour cloning) -> reward-to-go critic (flow TD) -> agent (softmax
over Q* of candidates) -> evaluation. `fit` walks it, and the names below are what a notebook or a script needs. A name
is imported when it is first used: `import evor_eqx` alone loads no JAX.
"""

import lazy_loader

from evor_eqx.system.arithmetic import choose_threads

__version__ = "0.2.0"
choose_threads()

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
