"""The agent: a base policy, a critic, inference settings and a selection rule. Observations in, actions out.

Phase 3, at inference time and without training: draw N_pi candidates from the base policy, read the soft value of each
candidate's return distribution, Q*(x, a) = tau_R log E_{z ~ R(.|x, a)} exp(z / tau_R), and pick candidate i with
probability softmax(Q* / tau_Q). The identity behind Q* needs deterministic transitions; with stochastic ones it is
optimistic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from evor_eqx.agent.decision import Decision, Numbers, act_base_batch, act_batch, decide_batch
from evor_eqx.agent.selection import SelectionRule, candidate_weights, check_rule, check_weights
from evor_eqx.config import CriticConfig, InferenceConfig, PolicyConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.data.bounds import ActionBounds
from evor_eqx.errors import UserError
from evor_eqx.policy import FlowPolicy
from evor_eqx.system.code_identity import code_digest, is_own
from evor_eqx.types import AnyArray


@dataclass(frozen=True)
class Agent:
    """Everything that chooses actions. Only `policy` and `critic` are trained; `replace` changes the rest.

    **Arguments:**

    - `policy`: the base policy, which proposes candidates.
    - `critic`: the reward-to-go critic. Without one, the agent acts by the base policy alone.
    - `inference`: N_pi, N, tau_R, tau_Q and the steps in flow time.
    - `selection`: the rule that gives candidates their weights, a function (value, tau_q) -> weights.
    - `policy_config`, `critic_config`: what the models were made from; saving needs it.
    - `facts`: what the agent comes from: task, dataset, runs, and a digest of the models.
    - `bounds`: the environment's least and largest action, which the models' actions in [-1, 1] stand for; None: -1 and
      1, as in OGBench.
    """

    policy: FlowPolicy
    critic: AbstractCritic | None
    inference: InferenceConfig = field(default_factory=InferenceConfig)
    selection: SelectionRule = candidate_weights
    policy_config: PolicyConfig | None = None
    critic_config: CriticConfig | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    bounds: ActionBounds | None = None

    @property
    def chunk_length(self) -> int:
        """h, the actions in a chunk."""
        return self.policy.chunk_length

    @property
    def obs_size(self) -> int:
        """The length of an observation."""
        return self.policy.obs_size

    @property
    def act_size(self) -> int:
        """The length of an action."""
        return self.policy.chunk_size // self.chunk_length

    def replace(self, **changes: Any) -> "Agent":
        """The agent with other inference settings or another selection rule; nothing is trained.

        **Arguments:**

        - `changes`: fields of `InferenceConfig` (`num_candidates`, `tau_r`, ...), or `selection`, `inference`. If the
          source of a rule cannot be read, give `versioned(rule, "1")`.

        **Raises:**

        UserError for an unknown name, and for a value out of range.
        """
        names = {each.name for each in fields(InferenceConfig)}
        if unknown := sorted(set(changes) - names - {"selection", "inference"}):
            expected = ", ".join(sorted(names | {"selection", "inference"}))
            raise UserError(f"replace: got {', '.join(unknown)}, expected some of {expected}; mend the name")
        selection, inference = changes.get("selection", self.selection), changes.get("inference", self.inference)
        check_rule(selection)
        inference = replace(inference, **{name: value for name, value in changes.items() if name in names})
        return replace(self, inference=inference, selection=selection)

    def base_policy_agent(self) -> "Agent":
        """The agent's base policy alone (N_pi = 1), which needs no critic. It comes from the base policy's run."""
        facts = dict(self.facts)
        if "policy_run" in facts:
            facts |= {"run": facts["policy_run"], "models": models_digest(self.policy, None)}
            facts.pop("step", None)  # of the critic
        return replace(self.replace(num_candidates=1), critic=None, critic_config=None, facts=facts)

    def decide(self, obs: Float[AnyArray, "*b obs"], *, key: Key[Array, "*keys"]) -> Decision:
        """Choose a chunk, and return everything that led to the choice.

        **Arguments:**

        - `obs`: one observation [obs], or a batch [batch, obs].
        - `key`: a random key. A batch gets a sub-key for each observation, or as many keys as observations.

        **Returns:**

        A `Decision` with exactly N_pi candidates, on the host. Candidates are in the environment's units.

        **Raises:**

        UserError for an observation of another size or with nan or inf, without a critic, and if the selection rule's
        weights are not finite and non-negative with a sum of one.
        """
        obs = self._finite(obs)
        return self._decide(obs, _checked_key(key, obs), self._numbers)

    def act(self, obs: Float[AnyArray, "*b obs"], *, key: Key[Array, "*keys"]) -> Float[np.ndarray, "*b h act"]:
        """Choose a chunk of h actions; with the same key, the one that `decide` chooses.

        **Arguments:** those of `decide`.

        **Returns:** actions in the environment's units, [h, act], or [batch, h, act] for a batch.

        **Raises:** UserError as `decide` does, but a critic is not needed: without one, the base policy acts.
        """
        obs = self._finite(obs)
        chunks = self._act(obs, _checked_key(key, obs), self._numbers)
        return chunks.reshape(*chunks.shape[:-1], self.chunk_length, self.act_size)

    def decide_each(
        self, obs: Float[AnyArray, "envs obs"], keys: Key[Array, " envs"], settings: Sequence[InferenceConfig]
    ) -> Decision:
        """`decide` for a batch in which each observation has its own key and temperatures; all else must agree."""
        return self._decide(obs, keys, Numbers.of(settings))

    def act_each(
        self, obs: Float[AnyArray, "envs obs"], keys: Key[Array, " envs"], settings: Sequence[InferenceConfig]
    ) -> Float[np.ndarray, "envs chunk"]:
        """`act` for a batch in which each observation has its own key and temperatures; chunks are flat."""
        return self._act(obs, keys, Numbers.of(settings))

    def save(self, folder: str | Path) -> Path:
        """Write the agent into a folder, from which `load_agent` reads it; returns the folder.

        Raises UserError for an agent that cannot be made again from its configuration.
        """
        from evor_eqx.agent.saving import save_agent  # which needs this module

        return save_agent(self, Path(folder).expanduser())

    @cached_property
    def _has_own_critic(self) -> bool:
        return self.critic_config is not None and is_own(type(self.critic_config))

    @cached_property
    def _numbers(self) -> Numbers:
        return Numbers.of(self.inference)

    def _decide(self, obs: Any, key: Any, numbers: Numbers) -> Decision:
        if self.critic is None:
            raise UserError(
                "the agent has no critic: expected one, because a decision compares candidates by value; use "
                "`act`, which needs none"
            )
        if self.selection is not candidate_weights:  # a rule may read a number that was changed since it was compiled
            code_digest(self.selection, "selection rule")
        drawn = decide_batch(self.policy, self.critic, self.selection, self._checked(obs), key, numbers)
        drawn = jax.tree.map(np.asarray, drawn)
        n = int(numbers.num_candidates)
        distribution = jax.tree.map(lambda array: array[..., :n, :], drawn.distribution)
        candidates = self._in_env_units(drawn.candidates[..., :n, :])
        decision = Decision(candidates, distribution, drawn.value[..., :n], drawn.weights[..., :n], drawn.index)
        if self._has_own_critic and not np.isfinite(decision.value).all():
            raise UserError(
                "critic: got a value that is not finite at this observation, expected finite returns everywhere; mend "
                "its distribution"
            )
        if self.selection is not candidate_weights:
            check_weights(np.asarray(decision.weights))
        return decision

    def _act(self, obs: Any, key: Any, numbers: Numbers) -> np.ndarray:
        obs = self._checked(obs)
        if self.critic is None:
            return self._in_env_units(act_base_batch(self.policy, obs, key, numbers.num_flow_steps))
        if self.selection is candidate_weights and not self._has_own_critic:
            return self._in_env_units(act_batch(self.policy, self.critic, self.selection, obs, key, numbers))
        decision = self._decide(obs, key, numbers)
        return np.take_along_axis(decision.candidates, np.asarray(decision.index)[..., None, None], axis=-2)[..., 0, :]

    def _in_env_units(self, chunks: AnyArray) -> Float[np.ndarray, "*b chunk"]:
        chunks = np.asarray(chunks)
        return chunks if self.bounds is None else self.bounds.chunks_to_env(chunks)

    def _checked(self, obs: Any) -> Any:
        is_ready = isinstance(obs, np.ndarray | jax.Array) and obs.dtype == np.float32
        if not is_ready:
            obs = _as_vector(obs)
        if obs.ndim not in (1, 2) or obs.shape[-1] != self.obs_size:
            raise UserError(
                f"observation: got shape {obs.shape}, expected [{self.obs_size}], or [batch, {self.obs_size}]; give "
                "what the environment of the agent's task returns"
            )
        return obs

    def _finite(self, obs: Any) -> Any:
        """As `_checked`, and finite. In a batch of rollouts, the rows of environments that rest may be anything."""
        obs = self._checked(obs)
        is_finite = np.isfinite(np.asarray(obs))
        if not is_finite.all():
            place = tuple(np.argwhere(~is_finite)[0].tolist())
            raise UserError(
                f"observation: got {np.asarray(obs)[place]} in coordinate {place[-1]}, expected finite numbers; mend "
                "what it comes from"
            )
        return obs


def _checked_key(key: Any, obs: Any) -> Any:
    """The key. Raises UserError for something else than a random key, or than one for each observation."""
    is_key = isinstance(key, jax.Array) and jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key)
    if is_key and key.shape in ((), obs.shape[:-1]):
        return key
    got = f"keys of shape {key.shape}" if is_key else f"{type(key).__name__} {key}"
    raise UserError(f"key: got {got}, expected one random key, such as jax.random.key(0), or one per observation")


def models_digest(policy: FlowPolicy, critic: AbstractCritic | None) -> str:
    """A digest of all numbers of a base policy and a critic."""
    leaves = jax.tree.leaves((policy, critic))
    numbers = [np.asarray(leaf) for leaf in leaves if hasattr(leaf, "dtype") or isinstance(leaf, int | float | complex)]
    return code_digest(numbers, "models of the agent")


def _as_vector(obs: Any) -> np.ndarray:
    try:
        array = np.asarray(obs)
        if array.dtype.kind not in "OSUMmc":  # objects, texts, times, complex numbers
            return array.astype(np.float32)
    except (TypeError, ValueError):
        pass
    raise UserError(
        f"observation: got {type(obs).__name__}, expected an array of numbers; give what the environment of the "
        "agent's task returns"
    )
