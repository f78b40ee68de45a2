"""Decisions in one compiled call: candidates, their return distributions, soft values, weights, and the pick."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from evor_eqx.agent.selection import SelectionRule, capacity, selection_weights
from evor_eqx.config import InferenceConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnDistribution, at_level, soft_value
from evor_eqx.errors import UserError
from evor_eqx.policy import FlowPolicy
from evor_eqx.types import AnyArray


class Decision(NamedTuple):
    """One decision with all that led to it; a batch of decisions has a leading axis everywhere.

    - `candidates` [cand, h * act]: the chunks that were drawn from the base policy, h actions each, flattened, in the
      environment's units.
    - `distribution`: the return distribution of each candidate, in units of return; `atoms` and `weights` are
      [cand, atoms].
    - `value` [cand]: the soft value Q* of each candidate, in units of return.
    - `weights` [cand]: the probability of each candidate to be picked; they sum to 1.
    - `index`: the candidate that was picked, from 0.
    """

    candidates: Float[AnyArray, "*b cand chunk"]
    distribution: ReturnDistribution
    value: Float[AnyArray, "*b cand"]
    weights: Float[AnyArray, "*b cand"]
    index: Int[AnyArray, "*b"]


class Numbers(eqx.Module):
    """An `InferenceConfig` as arrays: other temperatures, flow steps and N_pi up to `num_drawn` never recompile."""

    num_candidates: Int[Array, ""]
    num_flow_steps: Int[Array, ""]
    tau_r: Float[Array, "*b"]
    tau_q: Float[Array, "*b"]
    num_returns: int = eqx.field(static=True)
    num_drawn: int = eqx.field(static=True)

    @classmethod
    def of(cls, inference: InferenceConfig | Sequence[InferenceConfig]) -> "Numbers":
        """Those of one configuration, or of several that share all but the temperatures, which get an axis."""
        several = [inference] if isinstance(inference, InferenceConfig) else list(inference)
        shared = {(each.num_candidates, each.num_returns, each.num_flow_steps) for each in several}
        if len(shared) != 1:
            raise UserError(f"counts: got {sorted(shared)}, expected settings that differ in temperatures only")
        ((num_candidates, num_returns, num_flow_steps),) = shared
        taus = np.array([(each.tau_r, each.tau_q) for each in several], np.float32).T
        tau_r, tau_q = taus[:, 0] if isinstance(inference, InferenceConfig) else taus
        counts = {"num_candidates": num_candidates, "num_flow_steps": num_flow_steps}
        arrays = {name: jnp.asarray(value) for name, value in {**counts, "tau_r": tau_r, "tau_q": tau_q}.items()}
        return cls(**arrays, num_returns=num_returns, num_drawn=capacity(num_candidates))


def decide(
    policy: FlowPolicy,
    critic: AbstractCritic,
    selection: SelectionRule,
    obs: Float[Array, " obs"],
    numbers: Numbers,
    *,
    key: PRNGKeyArray,
) -> Decision:
    """One decision at one observation.

    **Arguments:**

    - `policy`, `critic`, `selection`: what the agent consists of.
    - `obs`: the observation.
    - `numbers`: the inference settings. `num_drawn` candidates are drawn and valued; the first N_pi count. These do not
      depend on how many are drawn.
    - `key`: a random key.

    **Returns:**

    The decision, with `num_drawn` candidates. Those that do not count have weight 0.
    """
    candidate_key, select_key = jax.random.split(key)
    steps = numbers.num_flow_steps
    candidates = policy.sample(obs, numbers.num_drawn, steps, key=candidate_key)
    distribution = jax.vmap(lambda chunk: critic.distribution(obs, chunk, numbers.num_returns, steps))(candidates)
    value = soft_value(distribution, numbers.tau_r)
    weights = selection_weights(selection, value, numbers.tau_q, numbers.num_candidates)
    return Decision(candidates, distribution, value, weights, at_level(weights, jax.random.uniform(select_key)))


@eqx.filter_jit
def decide_batch(
    policy: FlowPolicy,
    critic: AbstractCritic,
    selection: SelectionRule,
    obs: Float[Array, "*b obs"],
    key: Key[Array, "*keys"],
    numbers: Numbers,
) -> Decision:
    """`decide` for one observation or a batch, in one compiled call.

    A batch gets a sub-key for each observation, or as many keys as observations.
    """

    def one(state, key, tau_r, tau_q):
        mine = eqx.tree_at(lambda n: (n.tau_r, n.tau_q), numbers, (tau_r, tau_q))
        return decide(policy, critic, selection, state, mine, key=key)

    batch, keys = _batched(obs, key)
    taus = (jnp.broadcast_to(tau, len(batch)) for tau in (numbers.tau_r, numbers.tau_q))
    decisions = jax.vmap(one)(batch, keys, *taus)
    return decisions if obs.ndim == 2 else jax.tree.map(lambda leaf: leaf[0], decisions)


@eqx.filter_jit
def act_batch(
    policy: FlowPolicy,
    critic: AbstractCritic,
    selection: SelectionRule,
    obs: Float[Array, "*b obs"],
    key: Key[Array, "*keys"],
    numbers: Numbers,
) -> Float[Array, "*b chunk"]:
    """The chunks that `decide_batch` picks, in one compiled call."""
    decision = decide_batch(policy, critic, selection, obs, key, numbers)
    return jnp.take_along_axis(decision.candidates, decision.index[..., None, None], axis=-2)[..., 0, :]


@eqx.filter_jit
def act_base_batch(
    policy: FlowPolicy, obs: Float[Array, "*b obs"], key: Key[Array, "*keys"], num_steps: Int[Array, ""]
) -> Float[Array, "*b chunk"]:
    """What `act_batch` gives for N_pi = 1, without a critic: the base policy's first candidate."""

    def one(state, key):
        candidate_key, _ = jax.random.split(key)
        return policy.sample(state, 1, num_steps, key=candidate_key)[0]

    chunks = jax.vmap(one)(*_batched(obs, key))
    return chunks if obs.ndim == 2 else chunks[0]


def _batched(obs: Float[Array, "*b obs"], key: Key[Array, "*keys"]) -> tuple[Array, Array]:
    """Observations with a batch axis, and a key for each."""
    if obs.ndim == 1:
        return obs[None], key[None]
    return obs, key if key.ndim else jax.random.split(key, len(obs))
