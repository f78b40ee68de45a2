"""The critics by name: a small table for those that come with the package, and `register_critic` for any other.

A built-in critic's module is imported when its configuration is first asked for, so that commands that compute nothing
never load JAX.
"""

import importlib
from collections.abc import Callable
from typing import TypeVar

from evor_eqx.config import CriticConfig
from evor_eqx.errors import UserError
from evor_eqx.system.code_identity import versioned
from evor_eqx.system.registration import check_name, check_spelling

Class = TypeVar("Class", bound=type[CriticConfig])
_BUILT_IN = {
    "flow": "flow",
    "scalar": "scalar",
    "gaussian": "gaussian",
    "c51": "categorical",
    "hl_gauss": "categorical",
    "qr_dqn": "quantile",
    "iqn": "iqn",
    "best_of_n": "best_of_n",
    "expectile": "expectile",
}
_classes: dict[str, type[CriticConfig]] = {}


def register_critic(name: str, *, version: str | None = None) -> Callable[[Class], Class]:
    """Register a critic's configuration class under a name: `--critic NAME`, `preset(..., critic=NAME)`.

    **Arguments:**

    - `name`: the name; no other class may have it. The same class, defined again (a notebook's cell that is run
      again), takes the place of the earlier one.
    - `version`: stands for the critic's code if its source cannot be read. Runs with the same version are the same.

    **Returns:**

    A decorator for a frozen dataclass that is a `CriticConfig` with a `make` of its own.

    **Raises:**

    UserError if the name is taken, or if what is decorated is no such class.
    """

    check_spelling("critic", name)  # here as well, for a decorator without a name

    def register(cls: Class) -> Class:
        is_config = isinstance(cls, type) and issubclass(cls, CriticConfig)
        if not (is_config and cls.make is not CriticConfig.make and callable(cls.make)):
            raise UserError(
                f"critic {name!r}: got {cls!r}, expected a subclass of CriticConfig that defines `make`; define it"
            )
        if "__dataclass_fields__" not in vars(cls):  # is_dataclass would find those of a base class
            raise UserError(f"critic {name!r}: got {cls.__name__}, expected a dataclass; add @dataclass(frozen=True)")
        if name in _BUILT_IN and cls.__module__ != f"evor_eqx.critics.{_BUILT_IN[name]}":
            raise UserError(
                f"critic {name!r}: there is one of this name already, in the package, expected a new name; choose "
                "another name"
            )
        if vars(cls).get("kind", name) != name:
            raise UserError(
                f"critic {name!r}: got {cls.__name__}, which is registered as {cls.kind!r}, expected one name for a "
                "class; register a subclass"
            )
        check_name("critic", name, cls, _classes.get(name))
        cls.kind = name
        _classes[name] = versioned(cls, version)
        return cls

    return register


def critic_names() -> list[str]:
    """All names, the built-in ones first."""
    return list(dict.fromkeys([*_BUILT_IN, *_classes]))


def critic_config(name: str) -> type[CriticConfig]:
    """The configuration class of a critic. Raises UserError for an unknown name."""
    if name not in _classes and name in _BUILT_IN:
        importlib.import_module(f"evor_eqx.critics.{_BUILT_IN[name]}")
    if name not in _classes:
        raise UserError(
            f"unknown critic {name!r}: expected one of {', '.join(critic_names())}; register it first. If it is a flow "
            "target, give it as critic.target"
        )
    return _classes[name]
