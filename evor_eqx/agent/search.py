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

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.distributions import at_level


def resampled(
    noise: Float[Array, "cand size"], weights: Float[Array, " cand"], num: int | Int[Array, ""], *, key: PRNGKeyArray
) -> Float[Array, "cand size"]:
    """Noise drawn again with probabilities by its weights, so that the first `num` draws have the same weight.

    The draws are systematic: each appears as often as `num` times its weight says, rounded up or down.
    """
    levels = (jnp.arange(len(noise)) + jax.random.uniform(key)) / num % 1.0
    return noise[jax.vmap(lambda level: at_level(weights, level))(levels)]


def search(
    value_of: Callable[[Float[Array, "cand size"]], Float[Array, " cand"]],
    noise: Float[Array, "cand size"],
    tau_q: Float[Array, ""] | float,
    *,
    num_steps: int,
    angle: Float[Array, ""] | float,
    key: PRNGKeyArray,
) -> Float[Array, "cand size"]:
    """Move each draw `num_steps` times by the chain that leaves the base policy, tilted by exp(Q* / tau_Q), invariant.

    **Arguments:**

    - `value_of`: Q* of the chunks that some noise becomes, in units of return.
    - `noise`: where the chains begin.
    - `tau_q`: the selection temperature in [0, inf], in units of return.
    - `num_steps`: moves of each draw.
    - `angle`: how far a move goes, in (0, pi / 2]; pi / 2 proposes noise afresh.
    - `key`: a random key.

    **Returns:**

    Where the chains end.
    """

    def move(state, key):
        noise, value = state
        fresh_key, accept_key = jax.random.split(key)
        fresh = jax.random.normal(fresh_key, noise.shape)
        proposal = jnp.cos(angle) * noise + jnp.sin(angle) * fresh
        proposed = value_of(proposal)
        least_gain = jnp.where(tau_q > 0, tau_q * jnp.log(jax.random.uniform(accept_key, value.shape)), 0.0)
        accepts = proposed - value > least_gain
        return (jnp.where(accepts[:, None], proposal, noise), jnp.where(accepts, proposed, value)), None

    (noise, _), _ = jax.lax.scan(move, (noise, value_of(noise)), jax.random.split(key, num_steps))
    return noise
