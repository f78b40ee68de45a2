"""Two velocity fields, built from multi-layer perceptrons.

Both compute `field(x, t, cond)` for one example in two parts: `encode(cond)` once for each condition, and
`velocity(x, t, context)` once for each step in flow time.

* `MLPField` (the paper's): one network of (x, t, cond). `encode` is the identity; every step runs the whole network.
* `FactorisedField`: a large encoder of the condition, run once, and a small head in (x, t), run at each step. With
  N_pi candidates, N atoms and K steps, the encoder runs N_pi times instead of N_pi * N * K times.
"""

from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evor_eqx.nn.features import state_features, time_features
from evor_eqx.nn.mlp import MLP


class AbstractField(eqx.Module):
    """A velocity field v(x, t | cond), for one example."""

    @abstractmethod
    def encode(self, cond: Float[Array, " cond"]) -> Float[Array, " context"]:
        """Compute everything that depends on the condition alone."""

    @abstractmethod
    def velocity(
        self, x: Float[Array, " x"], t: Float[Array, ""], context: Float[Array, " context"]
    ) -> Float[Array, " x"]:
        """The velocity at (x, t), t in [0, 1], given the context that `encode` returned."""

    def __call__(self, x: Float[Array, " x"], t: Float[Array, ""], cond: Float[Array, " cond"]) -> Float[Array, " x"]:
        return self.velocity(x, t, self.encode(cond))

    def bind(self, cond: Float[Array, " cond"]) -> Callable[[Float[Array, " x"], Float[Array, ""]], Float[Array, " x"]]:
        """The field v(x, t) at a fixed condition, for a `flow_matching.Solver`. The condition is encoded once."""
        context = self.encode(cond)
        return lambda x, t: self.velocity(x, t, context)


class MLPField(AbstractField):
    """One network of (x, t, cond), as in the paper."""

    network: MLP
    num_frequencies: int = eqx.field(static=True)
    num_state_frequencies: int = eqx.field(static=True)

    def __init__(
        self,
        x_size: int,
        cond_size: int,
        width: int,
        depth: int,
        use_layer_norm: bool,
        num_frequencies: int = 0,
        num_state_frequencies: int = 0,
        *,
        key: PRNGKeyArray,
    ):
        self.num_frequencies, self.num_state_frequencies = num_frequencies, num_state_frequencies
        in_size = _num_features(x_size, num_frequencies, num_state_frequencies) + cond_size
        self.network = MLP(in_size, x_size, width, depth, use_layer_norm, key=key)

    def encode(self, cond):
        return cond

    def velocity(self, x, t, context):
        return self.network(jnp.concatenate([_features(x, t, self), context]))


class FactorisedField(AbstractField):
    """A large encoder of the condition, and a two-layer head in (x, t) that its output scales and shifts.

    Shifts alone are not enough: on the tabular benchmark, W_1 was twice that of the MLP. The context must also set
    slopes, because otherwise narrow and wide distributions share one head.
    """

    encoder: MLP
    inlet: eqx.nn.Linear
    hidden: eqx.nn.Linear
    outlet: eqx.nn.Linear
    num_frequencies: int = eqx.field(static=True)
    num_state_frequencies: int = eqx.field(static=True)

    def __init__(
        self,
        x_size: int,
        cond_size: int,
        width: int,
        depth: int,
        head_width: int,
        use_layer_norm: bool,
        num_frequencies: int = 0,
        num_state_frequencies: int = 0,
        *,
        key: PRNGKeyArray,
    ):
        self.num_frequencies, self.num_state_frequencies = num_frequencies, num_state_frequencies
        encoder_key, inlet_key, hidden_key, outlet_key = jax.random.split(key, 4)
        self.encoder = MLP(cond_size, 5 * head_width + x_size, width, depth, use_layer_norm, key=encoder_key)
        in_size = _num_features(x_size, num_frequencies, num_state_frequencies)
        self.inlet = eqx.nn.Linear(in_size, head_width, use_bias=False, key=inlet_key)
        self.hidden = eqx.nn.Linear(head_width, head_width, use_bias=False, key=hidden_key)
        self.outlet = eqx.nn.Linear(head_width, x_size, use_bias=False, key=outlet_key)

    def encode(self, cond):
        return self.encoder(cond)

    def velocity(self, x, t, context):
        width = self.hidden.in_features
        shifts, scales = context[: 2 * width].reshape(2, width), context[2 * width : 5 * width].reshape(3, width)
        hidden = jax.nn.gelu((1 + scales[0]) * self.inlet(_features(x, t, self)) + shifts[0])
        hidden = jax.nn.gelu((1 + scales[1]) * self.hidden(hidden) + shifts[1])
        return self.outlet((1 + scales[2]) * hidden) + context[5 * width :]


def _features(x, t, field):
    return jnp.concatenate([state_features(x, field.num_state_frequencies), time_features(t, field.num_frequencies)])


def _num_features(x_size: int, num_frequencies: int, num_state_frequencies: int) -> int:
    return x_size * (1 + 2 * num_state_frequencies) + 1 + 2 * num_frequencies
