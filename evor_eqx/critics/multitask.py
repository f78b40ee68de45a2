"""Flow critics of several tasks that share an encoder: trained together, used one by one.

The tasks of a dataset differ in their rewards only. So one large network of (obs, chunk) serves them all, and each
task has a flow of its own on the features: a `FlowCritic` with a factorised field whose encoder is a single layer.
An example carries one reward, mask and recorded return per task (axis `tasks`).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evor_eqx.critics.base import AbstractCritic, Inputs
from evor_eqx.critics.ensemble import EnsembleCritic, pick
from evor_eqx.critics.flow import FlowCritic
from evor_eqx.distributions import ReturnLaw
from evor_eqx.nn.mlp import MLP
from evor_eqx.types import Batch, Metrics


class Features(eqx.Module):
    """The last hidden layer of an encoder of (obs, chunk)."""

    inputs: Inputs
    network: MLP
    norm: eqx.nn.LayerNorm | None

    def __init__(self, inputs: Inputs, cond_size: int, width: int, depth: int, use_layer_norm: bool, *, key):
        self.inputs = inputs
        self.network = MLP(cond_size, width, width, depth - 1, use_layer_norm, key=key)
        self.norm = eqx.nn.LayerNorm(width) if use_layer_norm else None

    def __call__(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, " cond"]:
        hidden = jax.nn.gelu(self.network(self.inputs(obs, chunk)))
        return hidden if self.norm is None else self.norm(hidden)


class SharedCritic(AbstractCritic):
    """`heads` is one flow critic whose arrays carry a leading axis of tasks, without inputs of its own."""

    features: Features
    heads: FlowCritic
    num_tasks: int = eqx.field(static=True)

    def loss(self, target: "SharedCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """The tasks' mean loss on the same window, each with its own reward and its own randomness."""
        cond = self.features(example.obs, example.chunk)
        next_cond = target.features(example.next_obs, example.next_chunk)

        def one(own, other, rewards, k):
            step = other.bellman_step(eqx.tree_at(_rewards, example, rewards), next_cond)
            return own.loss_at(cond, step, key=k)

        keys = jax.random.split(key, self.num_tasks)
        losses, metrics = self._each(one)(self.heads, target.heads, _rewards(example), keys)
        return jnp.mean(losses), jax.tree.map(jnp.mean, metrics)

    def law(self, obs, chunk, num_returns, num_steps) -> ReturnLaw:
        """The laws of all tasks: atoms and weights are [tasks, atoms]."""
        cond = self.features(obs, chunk)
        return self._each(lambda own: own.law_at(cond, num_returns, num_steps))(self.heads)

    def task(self, index: int) -> FlowCritic:
        """The critic of one task, 0 <= index < num_tasks, complete in itself."""
        head = pick(self.heads, index)
        return eqx.tree_at(lambda critic: critic.inputs, head, self.features, is_leaf=lambda leaf: leaf is None)

    def _each(self, function):
        return eqx.filter_vmap(function, in_axes=eqx.if_array(0), axis_size=self.num_tasks)


def _rewards(example):
    return example.reward, example.mask, example.mc_return


def of_task(critic: AbstractCritic, index: int) -> AbstractCritic:
    """The critic of one task from a `SharedCritic`, or from an ensemble of them."""
    if isinstance(critic, SharedCritic):
        return critic.task(index)
    assert isinstance(critic, EnsembleCritic)
    members = eqx.filter_vmap(lambda member: of_task(member, index))(critic.members)
    return EnsembleCritic(members, critic.num_members, critic.combine)
