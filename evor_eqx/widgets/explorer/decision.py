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

from evor_eqx.agent.agent import Agent
from evor_eqx.agent.selection import SelectionRule, candidate_weights, check_weights, selection_weights
from evor_eqx.config import InferenceConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnDistribution, at_level, mean, soft_value
from evor_eqx.errors import UserError
from evor_eqx.policy import FlowPolicy
from evor_eqx.widgets.explorer.states import ShownState

NUM_CANDIDATES = (1, 2, 4, 8, 16, 32, 64, 128)
NUM_RETURNS = (1, 4, 8, 16, 64)  # with those of the presets
TAU_GRID = np.geomspace(0.01, 1000.0, 46, dtype=np.float32)  # tau_R at which the curves of Q* are drawn
KEY = jax.random.key(0)  # of the candidates: the same state shows the same ones


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


def look_at(agent: Agent, state: ShownState, num_flow_steps: int) -> Look:
    """Draw an agent's candidates and their distributions at a state, with `num_flow_steps` steps in flow time."""
    if agent.critic is None:
        raise UserError("the agent has no critic: expected one with a critic, because pictures show Q*")
    chunk = jnp.zeros(agent.policy.chunk_size) if state.data_chunk is None else jnp.asarray(state.data_chunk)
    steps = jnp.asarray(num_flow_steps)
    return look(agent.policy, agent.critic, jnp.asarray(state.obs), chunk, steps, key=KEY)


def read(seen: Look, selection: SelectionRule, inference: InferenceConfig) -> Reading:
    """What inference settings make of a `Look`, on the host.

    Raises UserError for counts that were not drawn, and if the selection rule's weights are no probabilities.
    """
    n = inference.num_candidates
    if n > NUM_CANDIDATES[-1] or inference.num_returns not in NUM_RETURNS:
        raise UserError(
            f"N_pi is {n} and N is {inference.num_returns}: expected at most {NUM_CANDIDATES[-1]} candidates and "
            f"one of {', '.join(map(str, NUM_RETURNS))} atoms, which are what the explorer draws"
        )
    index = NUM_RETURNS.index(inference.num_returns)
    numbers = (jnp.asarray(value) for value in (n, index, inference.tau_r, inference.tau_q))
    reading = jax.tree.map(np.asarray, weigh(seen, selection, *numbers))
    if selection is not candidate_weights:
        check_weights(reading.weights[:n])
    return reading


def ranked(reading: Reading, num_candidates: int) -> Int[np.ndarray, " cand"]:
    """The first N_pi candidates by Q*, best first."""
    return np.argsort(-np.asarray(reading.value)[:num_candidates], kind="stable")


def changes(reading: Reading, num_candidates: int, tau_r: float) -> list[float]:
    """The value temperatures nearest to `tau_r` at which another candidate has the largest Q*: none, one or two.

    Between two temperatures of the grid they are interpolated, on a logarithmic scale from 0.01 to 1000.
    """
    curves = np.concatenate([reading.highest[None], reading.curves, reading.lowest[None]])[:, :num_candidates]
    grid = list(zip([0.0, *TAU_GRID.tolist(), np.inf], curves, strict=True))
    now = (tau_r, reading.value[:num_candidates])
    below = [now, *reversed([point for point in grid if point[0] < tau_r])]
    above = [now, *(point for point in grid if point[0] > tau_r)]
    best = int(np.argmax(now[1]))
    found = []
    for way in (below, above):
        index = next((k for k, (_, values) in enumerate(way) if np.argmax(values) != best), None)
        if index is not None:
            found.append(_crossing(way[index - 1], way[index], best))
    return found


def _crossing(start: tuple[float, np.ndarray], end: tuple[float, np.ndarray], best: int) -> float:
    """Where `best` falls behind the candidate that is the best at `end`."""
    other = int(np.argmax(end[1]))
    first, last = (np.log(np.clip(tau, 0.01, 1000.0)) for tau, _ in (start, end))
    lead, lag = float(start[1][best] - start[1][other]), float(end[1][other] - end[1][best])
    share = lead / (lead + lag) if lead + lag > 0 else 0.5
    return float(np.exp(first + (last - first) * share))


def _fill(array: Float[Array, "all atoms"], width: int) -> Float[Array, "all width"]:
    return jnp.pad(array, ((0, 0), (0, width - array.shape[-1])))
