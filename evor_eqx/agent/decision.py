"""Decisions in one compiled call: candidates, their return distributions, soft values, weights, and the pick."""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from evor_eqx.agent.search import Drawn, resampled, search
from evor_eqx.agent.selection import SelectionRule, candidate_weights, capacity, selection_weights
from evor_eqx.config import InferenceConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnDistribution, at_level, soft_value
from evor_eqx.errors import UserError
from evor_eqx.policy import FlowPolicy, candidate_noise
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
    search_angle: Float[Array, ""]
    num_returns: int = eqx.field(static=True)
    num_search_steps: int = eqx.field(static=True)
    num_drawn: int = eqx.field(static=True)

    @classmethod
    def of(cls, inference: InferenceConfig | Sequence[InferenceConfig]) -> "Numbers":
        """Those of one configuration, or of several that share all but the temperatures, which get an axis."""
        several = [inference] if isinstance(inference, InferenceConfig) else list(inference)
        shared, first = {each.counts for each in several}, several[0]
        if len(shared) != 1:
            raise UserError(f"counts: got {sorted(shared)}, expected settings that differ in temperatures only")
        taus = np.array([(each.tau_r, each.tau_q) for each in several], np.float32).T
        tau_r, tau_q = taus[:, 0] if isinstance(inference, InferenceConfig) else taus
        numbers = {name: getattr(first, name) for name in ("num_candidates", "num_flow_steps", "search_angle")}
        arrays = {name: jnp.asarray(value) for name, value in {**numbers, "tau_r": tau_r, "tau_q": tau_q}.items()}
        sizes = {name: getattr(first, name) for name in ("num_returns", "num_search_steps")}
        return cls(**arrays, **sizes, num_drawn=capacity(first.num_candidates))


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

    The decision, with `num_drawn` candidates. Those that do not count have weight 0. After a search all others have the
    same weight, but at tau_Q = 0, where the best is picked.

    **Raises:**

    UserError for a search with another selection rule than EVOR's.
    """
    candidate_key, select_key = jax.random.split(key)
    noise = candidate_noise(numbers.num_drawn, policy.chunk_size, key=candidate_key)
    tau_q, num, steps = numbers.tau_q, numbers.num_candidates, numbers.num_flow_steps

    def draw(noise):
        candidates = policy.transport(obs, noise, steps)
        distribution = jax.vmap(lambda chunk: critic.distribution(obs, chunk, numbers.num_returns, steps))(candidates)
        return Drawn(noise, candidates, distribution, soft_value(distribution, numbers.tau_r))

    drawn = draw(noise)
    weights = selection_weights(selection, drawn.value, tau_q, num)
    if numbers.num_search_steps > 0:
        if selection is not candidate_weights:
            raise UserError(
                "num_search_steps: got a search with a selection rule of your own, expected softmax(Q* / tau_Q), which "
                "the search is made for; set num_search_steps to 0"
            )
        drawn = search(
            draw,
            resampled(drawn, weights, num, key=jax.random.fold_in(key, 0)),
            tau_q,
            num_steps=numbers.num_search_steps,
            angle=numbers.search_angle,
            key=jax.random.fold_in(key, 1),
        )
        weights = selection_weights(selection, drawn.value, jnp.where(tau_q > 0, jnp.inf, 0.0), num)  # the best, or any
    _, candidates, distribution, value = drawn
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
