"""Phase 3: from a law of the reward-to-go to an action, at inference time and without training.

Draw N_pi candidates from the base policy, read the soft value of each candidate's law,
Q*(x, a) = tau_R log E_{z ~ R(.|x, a)} exp(z / tau_R), and pick candidate i with probability softmax(Q* / tau_Q).
The identity behind Q* needs deterministic transitions; with stochastic ones it is optimistic.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from evor_eqx.agent.selection import candidate_weights, capacity, select
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnLaw, soft_value
from evor_eqx.policy import FlowPolicy


class Decision(NamedTuple):
    """One decision with all that led to it."""

    candidates: Float[Array, "cand chunk"]
    law: ReturnLaw  # one law per candidate: atoms and weights are [cand, atoms]
    value: Float[Array, " cand"]  # Q*, in units of return
    weights: Float[Array, " cand"]  # selection probabilities
    index: Int[Array, ""]  # the candidate that was picked


def decide(
    policy: FlowPolicy,
    critic: AbstractCritic,
    obs: Float[Array, " obs"],
    num_candidates: int | Int[Array, ""],
    num_returns: int,
    tau_r: Float[Array, ""] | float,
    tau_q: Float[Array, ""] | float,
    num_steps: int | Int[Array, ""],
    *,
    num_drawn: int | None = None,
    key: PRNGKeyArray,
) -> Decision:
    """One decision at one observation: N_pi candidates, N atoms each, `num_steps` steps in flow time for both flows.

    With `num_drawn` >= N_pi so many candidates are drawn and valued, and the first N_pi, which may then be an array,
    are chosen from: another N_pi needs no recompilation. The first ones do not depend on how many are drawn.
    """
    candidate_key, select_key = jax.random.split(key)
    num_drawn = int(num_candidates) if num_drawn is None else num_drawn
    candidates = policy.sample(obs, num_drawn, num_steps, key=candidate_key)
    law = jax.vmap(lambda chunk: critic.law(obs, chunk, num_returns, num_steps))(candidates)
    value = soft_value(law, tau_r)
    weights = candidate_weights(value, tau_q, num_candidates)
    return Decision(candidates, law, value, weights, select(weights, key=select_key))


@eqx.filter_jit
def decisions(
    policy: FlowPolicy,
    critic: AbstractCritic,
    obs: Float[Array, "envs obs"],
    keys: Key[Array, " envs"],
    num_candidates: Int[Array, ""],
    num_returns: int,
    tau_r: Float[Array, " envs"],
    tau_q: Float[Array, " envs"],
    num_steps: Int[Array, ""],
    num_drawn: int,
) -> Decision:
    """Decisions for a batch of environments (leading axis `envs`) in one compiled call.

    Temperatures, flow steps and N_pi up to `num_drawn` (see `capacity`) never recompile.
    """

    def one(state, key, r, q):
        counts = (num_candidates, num_returns)
        return decide(policy, critic, state, *counts, r, q, num_steps, num_drawn=num_drawn, key=key)

    return jax.vmap(one)(obs, keys, tau_r, tau_q)


@eqx.filter_jit
def act(*arguments: Any) -> Float[Array, "envs chunk"]:
    """The chunks that `decisions` picks, in one compiled call; the arguments are those of `decisions`, in its order."""
    decision = decisions(*arguments)
    return jax.vmap(lambda candidates, index: candidates[index])(decision.candidates, decision.index)


@eqx.filter_jit
def act_base(
    policy: FlowPolicy, obs: Float[Array, "envs obs"], keys: Key[Array, " envs"], num_steps: Int[Array, ""]
) -> Float[Array, "envs chunk"]:
    """What `act` gives for N_pi = 1, without a critic: the base policy's first candidate."""

    def one(state, key):
        candidate_key, _ = jax.random.split(key)
        return policy.sample(state, 1, num_steps, key=candidate_key)[0]

    return jax.vmap(one)(obs, keys)


def agent(policy: FlowPolicy, critic: AbstractCritic, num_flow_steps: int) -> Callable[..., Float[Array, "envs chunk"]]:
    """`act` with its models, as an `evaluate.Actor`: a function of (obs, keys, N_pi, N, tau_R, tau_Q)."""
    return _as_actor(act, policy, critic, num_flow_steps)


def deciding_agent(policy: FlowPolicy, critic: AbstractCritic, num_flow_steps: int) -> Callable[..., Decision]:
    """As `agent`, but it returns the whole `Decision`s."""
    return _as_actor(decisions, policy, critic, num_flow_steps)


def base_agent(policy: FlowPolicy, num_flow_steps: int) -> Callable[..., Float[Array, "envs chunk"]]:
    """As `agent` with N_pi = 1, without a critic; of its arguments only (obs, keys) matter."""
    num_steps = jnp.asarray(num_flow_steps)

    def actor(obs, keys, num_candidates, num_returns, tau_r, tau_q):
        return act_base(policy, jnp.asarray(obs), keys, num_steps)

    return actor


def _as_actor(function, policy, critic, num_flow_steps):
    num_steps = jnp.asarray(num_flow_steps)

    def actor(obs, keys, num_candidates, num_returns, tau_r, tau_q):
        counts, num_drawn = (jnp.asarray(num_candidates), num_returns), capacity(num_candidates)
        return function(policy, critic, jnp.asarray(obs), keys, *counts, tau_r, tau_q, num_steps, num_drawn)

    return actor
