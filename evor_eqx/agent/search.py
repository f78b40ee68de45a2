"""Search for candidates in the base policy's noise, at inference and without training.

The KL-regularised optimum of a decision is the base policy tilted by exp(Q* / tau_Q). The base policy's chunk is what
its flow makes of Gaussian noise, so the optimum is a law of the noise, too: N(0, I), tilted. N_pi draws that were
resampled by softmax(Q* / tau_Q) follow it roughly. From there each one walks on as a Markov chain that leaves it
invariant: propose cos(a) noise + sin(a) fresh noise, and accept with probability min(1, exp(gain of Q* / tau_Q))
(preconditioned Crank-Nicolson: Cotter et al. 2013, arXiv 1202.0709). The proposal keeps N(0, I), so a chunk never
leaves what the base policy can draw; DSRL (arXiv 2506.15799) trains a policy over this noise.
At tau_Q = 0 only gains are accepted, and each chain climbs.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.distributions import ReturnDistribution, at_level


class Drawn(NamedTuple):
    """Candidates of one decision, with the noise that they come from and their soft values."""

    noise: Float[Array, "cand chunk"]
    candidates: Float[Array, "cand chunk"]
    distribution: ReturnDistribution
    value: Float[Array, " cand"]  # Q*, in units of return


def resampled(drawn: Drawn, weights: Float[Array, " cand"], num: int | Int[Array, ""], *, key: PRNGKeyArray) -> Drawn:
    """Candidates drawn again with probabilities by their weights, so that the first `num` draws have the same weight.

    The draws are systematic: each appears as often as `num` times its weight says, rounded up or down.
    """
    levels = (jnp.arange(len(weights)) + jax.random.uniform(key)) / num % 1.0
    index = jax.vmap(lambda level: at_level(weights, level))(levels)
    return jax.tree.map(lambda leaf: leaf[index], drawn)


def search(
    draw: Callable[[Float[Array, "cand chunk"]], Drawn],
    drawn: Drawn,
    tau_q: Float[Array, ""] | float,
    *,
    num_steps: int,
    angle: Float[Array, ""] | float,
    key: PRNGKeyArray,
) -> Drawn:
    """Move each candidate `num_steps` times by the chain that keeps the base policy's law, tilted by exp(Q* / tau_Q).

    **Arguments:**

    - `draw`: the candidates that some noise becomes.
    - `drawn`: where the chains begin.
    - `tau_q`: the selection temperature in [0, inf], in units of return.
    - `num_steps`: moves of each candidate; each costs a draw of all of them.
    - `angle`: how far a move goes, in (0, pi / 2]; pi / 2 proposes noise afresh.
    - `key`: a random key.

    **Returns:**

    Where the chains end.
    """

    def move(drawn, key):
        fresh_key, accept_key = jax.random.split(key)
        fresh = jax.random.normal(fresh_key, drawn.noise.shape)
        proposed = draw(jnp.cos(angle) * drawn.noise + jnp.sin(angle) * fresh)
        least_gain = jnp.where(tau_q > 0, tau_q * jnp.log(jax.random.uniform(accept_key, drawn.value.shape)), 0.0)
        accepts = proposed.value - drawn.value > least_gain
        return jax.tree.map(lambda new, old: jax.vmap(jnp.where)(accepts, new, old), proposed, drawn), None

    return jax.lax.scan(move, drawn, jax.random.split(key, num_steps))[0]
