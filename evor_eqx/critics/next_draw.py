"""Improvement inside the backup: which of the base policy's draws a backup takes at the next state.

A backup that takes any draw evaluates the base policy. One that chooses among N draws evaluates a policy that chooses
so at every later step: the best of N by the mean (Q-chunking's idea), or EVOR's own rule, softmax(Q*/tau_Q) with Q* the
soft value at tau_R. The second tends to the first for tau_R to infinity and tau_Q to 0.
"""

import math
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from evor_eqx import distributions
from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.types import Batch

# Atoms and flow steps of the distributions by which a backup chooses. On three tasks of the suite, the best of four
# draws by means of such coarse distributions lost less than 1 % of the gain of the best by fine ones. A soft value
# looks at the upper tail, so it gets as many atoms as a decision.
ATOMS_AND_STEPS = {"mean": (4, 2), "soft value": (16, 2)}


@dataclass(frozen=True)
class DrawChoice:
    """EVOR's selection rule over the draws at the next state: softmax(Q*/tau_Q).

    - `tau_r`: value temperature in [0, inf], in units of return; infinity compares means.
    - `tau_q`: selection temperature in [0, inf), in units of return; 0 takes the best draw.
    """

    tau_r: float = math.inf
    tau_q: float = 0.0

    def __call__(self, critic: AbstractCritic, batch: Batch, *, key: PRNGKeyArray) -> Batch:
        """The batch with the chosen draw at the next state as its next chunk.

        The whole batch is processed at once, which is several times as fast as example by example. No gradient passes
        through the choice.

        **Arguments:**

        - `critic`: whose distributions the draws are compared by.
        - `batch`: windows with `next_draws` [batch, draws, chunk].
        - `key`: a random key; not used if `tau_q` is 0.
        """
        assert batch.next_draws is not None
        draws = batch.next_draws.reshape(-1, batch.next_draws.shape[-1])
        obs = jnp.repeat(batch.next_obs, batch.next_draws.shape[-2], axis=0)
        size = ATOMS_AND_STEPS["mean" if math.isinf(self.tau_r) else "soft value"]
        found = jax.vmap(lambda o, draw: critic.distribution(o, draw, *size))(obs, draws)
        values = distributions.mean(found) if math.isinf(self.tau_r) else distributions.soft_value(found, self.tau_r)
        values = values.reshape(batch.next_draws.shape[:-1])
        takes_best = self.tau_q == 0
        chosen = jnp.argmax(values, axis=-1) if takes_best else jax.random.categorical(key, values / self.tau_q)
        next_chunk = jnp.take_along_axis(batch.next_draws, chosen[:, None, None], axis=1)[:, 0]
        return eqx.tree_at(lambda b: b.next_chunk, batch, jax.lax.stop_gradient(next_chunk))


def draw_choice(config: CriticConfig) -> DrawChoice | None:
    """How the backups of a critic choose among the draws; None if they take any."""
    if config.next_draw == "any":
        return None
    return DrawChoice() if config.next_draw == "best" else DrawChoice(config.next_tau_r, config.next_tau_q)
