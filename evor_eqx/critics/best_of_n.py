"""Baseline: the value of the best of N chunks, Q(x, a), trained by temporal differences (Q-chunking).

Li, Zhou and Levine 2025, "Reinforcement Learning with Action Chunking", arXiv 2507.07969: the variant QC, whose policy
is the best of N draws of the base policy by Q, at every backup as well as when it acts. Chunks of h actions and h-step
rewards belong together: all of the h actions are in the chunk whose value is learned, so nothing has to be corrected.

Details are those of its authors' code (github.com/ColinQiyangLi/qc, agent `acfql` with actor type `best-of-n`): two
networks, whose mean is the value in backup and choice alike (`num_members` 2 and `combine` "mean" here, `q_agg` there);
the network that is trained chooses among the N draws, and the target network says what the chosen one is worth; N = 32
at chunks of five actions (QC), 4 at single ones (BFN), when training as when it acts.

Differences from it:

1. the base policy is trained beforehand, and its N draws at a state are always the same ones, from the bank;
2. backed-up values are clipped to the range that rewards allow;
3. the moving average of the networks acts, as for every critic here;
4. windows that would leave their episode are not drawn, instead of masked in the loss.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evor_eqx.critics.base import Inputs, ReturnScale
from evor_eqx.critics.ensemble import ValueEnsemble
from evor_eqx.critics.scalar import AbstractValue
from evor_eqx.types import Batch, Metrics


class BestOfNCritic(AbstractValue):
    """The value of a chunk if every later one is the best of N; `network` answers in the units of the model."""

    network: ValueEnsemble
    inputs: Inputs
    scale: ReturnScale

    def loss(self, target: "BestOfNCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """Mean over members of (Q_i(x, a) - (r + gamma m Q'(x', a')))^2 for one example, in units of the model.

        Q' is the target network, a' the next chunk, which is the one that `choose` put there.
        """
        backup = jax.lax.stop_gradient(target.backup(example))
        each = self.network.each(self.inputs(example.obs, example.chunk))
        loss = jnp.mean(jnp.square(each - backup))
        return loss, {"loss": loss, "target_return": self.scale.to_return(backup)}

    def predict(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, ""]:
        """The value that the members agree on, in units of the model."""
        return self.network(self.inputs(obs, chunk))

    def worth(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, ""]:
        """What `choose` compares draws by: Q(x, a), in units of the model."""
        return self.predict(obs, chunk)

    def backup(self, example: Batch) -> Float[Array, ""]:
        """r + gamma m Q(x', a') by this network, in units of the model."""
        z_next = self.scale.to_return(self.predict(example.next_obs, example.next_chunk))
        return self.scale.backup(example, z_next)
