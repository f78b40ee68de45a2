"""Baseline: the value of the best of N chunks, Q(x, a), trained by temporal differences (Q-chunking).

Li, Zhou and Levine 2025, "Reinforcement Learning with Action Chunking", arXiv 2507.07969: the variant QC, whose policy
is the best of N draws of the base policy by Q, at every backup as well as when it acts. Chunks of h actions and h-step
rewards belong together: all of the h actions are in the chunk whose value is learned, so nothing has to be corrected.

Details are those of its authors' code (github.com/ColinQiyangLi/qc, agent `acfql` with actor type `best-of-n`): two
networks, whose mean is used in backups and for selection (`num_members` 2 and `combine` "mean" here, `q_agg` there);
the trained network chooses among the N draws, and the target network gives the value of the chosen one; N = 32 for
chunks of five actions (QC) and 4 for single actions (BFN), in training and at inference.

Differences from that code:

1. the base policy is trained beforehand, and its N draws at a state are fixed: they come from the bank;
2. backed-up values are clipped to the range that rewards allow;
3. the moving average of the networks is used at inference, as for every critic here;
4. windows that would leave their episode are never drawn; there, they are masked in the loss.
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
from evor_eqx.system.checked import within
from evor_eqx.types import Batch, Metrics


@register_critic("best_of_n")
@dataclass(frozen=True)
class BestOfNConfig(CriticConfig):
    """The value of the best of N chunks (Q-chunking); N is `num_bank_draws`."""

    is_improver: ClassVar[bool] = True
    has_own_members: ClassVar[bool] = True
    needs_n_step_of_chunk: ClassVar[bool] = True
    next_draws: ClassVar[tuple[str, ...]] = ("best",)

    num_bank_draws: int = within(1, 1024, 32)
    """N, draws of the base policy per state, of which a backup takes the best; 4 for single actions, 32 for chunks."""
    next_draw: str = "best"
    """Always best; this critic takes no other value."""

    def make(self, inputs: CriticInputs, scale: ReturnScale, *, key: PRNGKeyArray) -> "BestOfNCritic":
        """Networks of all members; see `CriticConfig.make`."""
        network = make_value_ensemble(self, inputs.size, key=key)
        return BestOfNCritic(network=network, inputs=inputs, scale=scale)


class BestOfNCritic(AbstractValue):
    """The value of a chunk if every later chunk is the best of N; `network` answers in the units of the model."""

    network: ValueEnsemble
    inputs: CriticInputs
    scale: ReturnScale

    def loss(self, target: "BestOfNCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Mean over members of (Q_i(x, a) - (r + gamma m Q'(x', a')))^2 for one example, in units of the model.

        Q' is the target network. a' is the next chunk of the example, the best draw by `DrawChoice`.
        """
        backup = jax.lax.stop_gradient(target.backup(example))
        each = self.network.each(self.inputs(example.obs, example.chunk))
        loss = jnp.mean(jnp.square(each - backup))
        return loss, {"loss": loss, "target_return": self.scale.to_return(backup)}

    def predict(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, ""]:
        """The value that the members agree on, in units of the model."""
        return self.network(self.inputs(obs, chunk))

    def backup(self, example: Batch) -> Float[Array, ""]:
        """r + gamma m Q(x', a') by this network, in units of the model."""
        z_next = self.scale.to_return(self.predict(example.next_obs, example.next_chunk))
        return self.scale.backup(example, z_next)
