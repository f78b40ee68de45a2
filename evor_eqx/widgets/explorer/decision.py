"""The agent's decision at one state: candidates and distributions are drawn once; settings only re-weigh them.

`look` draws the largest number of candidates and, for each number of atoms in `NUM_RETURNS`, their return
distributions. `weigh` then answers any (N_pi, N, tau_R, tau_Q) in a fraction of a millisecond. Its numbers are those of
`Agent.decide` with the same key (a test compares them). Each compiles once for an agent.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.agent.selection import SelectionRule, selection_weights
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnDistribution, at_level, mean, soft_value
from evor_eqx.policy import FlowPolicy

NUM_CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
NUM_RETURNS = (1, 4, 8, 16, 64)  # with those of the presets
TAU_GRID = np.geomspace(0.01, 1000.0, 46, dtype=np.float32)  # tau_R at which the curves of Q* are drawn


class Look(NamedTuple):
    """The candidates drawn at a state. all = NUM_CANDIDATES[-1] + 1, because the last row is the data's own chunk."""

    chunks: Float[Array, "all chunk"]
    distributions: ReturnDistribution  # [counts, all, atoms]: one for each of NUM_RETURNS, padded with weights of 0
    level: Float[Array, ""]  # in [0, 1): which candidate is picked, see `distributions.at_level`


class Reading(NamedTuple):
    """Values and weights of a `Look`'s candidates by the inference settings; weights are 0 after the first N_pi."""

    value: Float[Array, " all"]  # Q*(tau_R), in units of return
    weights: Float[Array, " all"]  # selection probabilities
    index: Int[Array, ""]  # the candidate that is picked
    curves: Float[Array, "taus all"]  # Q* at TAU_GRID
    lowest: Float[Array, " all"]  # the limit of Q* at large tau_R: the mean
    highest: Float[Array, " all"]  # the limit at small tau_R: the largest atom
    num_effective: Float[Array, ""]  # 1 / sum of squared weights
    kl: Float[Array, ""]  # KL(selection | base policy) in nats, among the candidates: log N_pi minus the entropy


@eqx.filter_jit
def look(
    policy: FlowPolicy,
    critic: AbstractCritic,
    obs: Float[Array, " obs"],
    data_chunk: Float[Array, " chunk"],
    num_steps: Int[Array, ""],
    *,
    key: PRNGKeyArray,
) -> Look:
    """Draw candidates at an observation, with their return distributions and that of the data's own chunk.

    **Arguments:**

    - `policy`, `critic`: the agent's models.
    - `obs`: the observation.
    - `data_chunk`: the chunk that the data took there.
    - `num_steps`: steps in flow time of both flows.
    - `key`: a random key; `Agent.decide` with the same key draws the same candidates.
    """
    candidate_key, select_key = jax.random.split(key)
    candidates = policy.sample(obs, NUM_CANDIDATES[-1], num_steps, key=candidate_key)
    chunks = jnp.concatenate([candidates, data_chunk[None]])
    distributions = [
        jax.vmap(lambda chunk, n=n: critic.distribution(obs, chunk, n, num_steps))(chunks) for n in NUM_RETURNS
    ]
    width = max(distribution.atoms.shape[-1] for distribution in distributions)
    filled = jax.tree.map(lambda *each: jnp.stack([_fill(array, width) for array in each]), *distributions)
    return Look(chunks, filled, jax.random.uniform(select_key))


@eqx.filter_jit
def weigh(
    seen: Look,
    selection: SelectionRule,
    num_candidates: Int[Array, ""],
    count_index: Int[Array, ""],
    tau_r: Float[Array, ""],
    tau_q: Float[Array, ""],
) -> Reading:
    """Value and select the candidates of a `Look`; other counts and temperatures never recompile.

    **Arguments:**

    - `seen`: what was drawn.
    - `selection`: the agent's selection rule.
    - `num_candidates`: N_pi, at most NUM_CANDIDATES[-1].
    - `count_index`: which number of atoms; N = NUM_RETURNS[count_index].
    - `tau_r`, `tau_q`: value and selection temperature, in units of return.
    """
    distribution = jax.tree.map(lambda array: array[count_index], seen.distributions)
    value = soft_value(distribution, tau_r)
    weights = selection_weights(selection, value, tau_q, num_candidates)
    entropy = -jnp.sum(jax.scipy.special.xlogy(weights, weights))
    return Reading(
        value=value,
        weights=weights,
        index=at_level(weights, seen.level),
        curves=jax.vmap(lambda tau: soft_value(distribution, tau))(jnp.asarray(TAU_GRID)),
        lowest=mean(distribution),
        highest=soft_value(distribution, 0.0),
        num_effective=1.0 / jnp.sum(jnp.square(weights)),
        kl=jnp.log(num_candidates) - entropy,
    )


def ranked(reading: Reading, num_candidates: int) -> Int[np.ndarray, " cand"]:
    """The first N_pi candidates by Q*, best first."""
    return np.argsort(-np.asarray(reading.value)[:num_candidates], kind="stable")


def _fill(array: Float[Array, "all atoms"], width: int) -> Float[Array, "all width"]:
    return jnp.pad(array, ((0, 0), (0, width - array.shape[-1])))
