"""Baseline: the value of the better chunks in the data, by expectile regression (implicit Q-learning, IFQL).

V(x) is the expectile of Q(x, a) over the chunks a of the data, and Q regresses on r + gamma m V(x'). So training never
evaluates Q at a chunk outside the data (IQL; Kostrikov, Nair and Levine 2021, arXiv 2110.06169). IFQL chooses the
best of N draws of a flow policy by such a Q (Park, Li and Levine 2025, arXiv 2502.02538, after IDQL, arXiv 2304.10573).

Details are those of IFQL in its authors' code (github.com/seohongpark/fql, agent `ifql`): expectile 0.9; two networks
for Q, whose minimum trains V and selects actions (`num_members` 2 and `combine` "min" here); V is trained on Q's target
network; V has no target network of its own; N = 32 at inference.

Differences from that code:

1. chunks and n-step rewards. If n exceeds the chunk's length, actions after the chunk are the data's, not better ones;
2. backed-up values are clipped to the range that rewards allow;
3. the moving average of the networks is used at inference, as for every critic here.
"""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import CriticInputs, ReturnScale
from evor_eqx.critics.ensemble import ValueEnsemble, make_value_ensemble
from evor_eqx.critics.registry import register_critic
from evor_eqx.critics.scalar import AbstractValue
from evor_eqx.nn.factory import make_mlp
from evor_eqx.nn.mlp import MLP
from evor_eqx.types import Batch, Metrics

EXPECTILE = 0.9  # IFQL's; 0.5 is the mean, 1 the maximum over the data's chunks


@register_critic("expectile")
@dataclass(frozen=True)
class ExpectileConfig(CriticConfig):
    """IFQL: the value of the better chunks in the data, by expectile regression."""

    is_improver: ClassVar[bool] = True
    has_own_members: ClassVar[bool] = True
    next_draws: ClassVar[tuple[str, ...]] = ("any",)

    def make(self, inputs: CriticInputs, scale: ReturnScale, *, key: PRNGKeyArray) -> "ExpectileCritic":
        """Networks of Q, for all members, and of V; see `CriticConfig.make`."""
        value_key, state_key = jax.random.split(key)
        state_network = make_mlp(self.network, inputs.features.size, 1, key=state_key)
        network = make_value_ensemble(self, inputs.size, key=value_key)
        return ExpectileCritic(network=network, state_network=state_network, inputs=inputs, scale=scale)


def expectile_loss(
    predicted: Float[Array, ""], target: Float[Array, ""], expectile: Float[Array, ""] | float
) -> Float[Array, ""]:
    """|expectile - 1{d < 0}| d^2 with d = target - predicted, IQL's L_2^tau; its mean is least at the expectile.

    `expectile` lies in (0, 1).
    """
    error = target - predicted
    return jnp.where(error < 0, 1 - expectile, expectile) * jnp.square(error)


class ExpectileCritic(AbstractValue):
    """Q(x, a) and V(x); `network` and `state_network` answer in the units of the model."""

    network: ValueEnsemble
    state_network: MLP
    inputs: CriticInputs
    scale: ReturnScale

    def loss(self, target: "ExpectileCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Mean over members of (Q_i(x, a) - (r + gamma m V(x')))^2, plus the expectile loss of V(x) at Q'(x, a).

        Q' is the target network; for one example, in units of the model.
        """
        backup, taught = jax.lax.stop_gradient((self.backup(example), target.predict(example.obs, example.chunk)))
        each = self.network.each(self.inputs(example.obs, example.chunk))
        state_loss = expectile_loss(self.predict_state(example.obs), taught, EXPECTILE)
        loss = jnp.mean(jnp.square(each - backup)) + state_loss
        return loss, {"loss": loss, "state_loss": state_loss, "target_return": self.scale.to_return(backup)}

    def predict(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, ""]:
        """The Q(x, a) that the members agree on, in units of the model."""
        return self.network(self.inputs(obs, chunk))

    def predict_state(self, obs: Float[Array, " obs"]) -> Float[Array, ""]:
        """V(x), in units of the model."""
        return self.state_network(self.inputs.features(obs))[0]

    def backup(self, example: Batch) -> Float[Array, ""]:
        """r + gamma m V(x') by this network, in units of the model."""
        z_next = self.scale.to_return(self.predict_state(example.next_obs))
        return self.scale.backup(example, z_next)
