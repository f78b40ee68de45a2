"""Flow critics of several tasks that share an encoder: trained together, used one by one.

The tasks of a dataset differ in their rewards only. So one large network of (obs, chunk) serves them all, and each
task has a flow of its own on its output: a `FlowCritic` with a factorised field whose encoder is a single layer. An
example carries one reward, mask and recorded return per task (axis `tasks`).

The trained model is not a critic, because it answers for all tasks at once. `MultiTaskFlow.task` gives a task's critic.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic, CriticInputs, ReturnScale
from evor_eqx.critics.ensemble import EnsembleCritic, one_by_one, pick
from evor_eqx.critics.flow import FlowConfig, FlowCritic
from evor_eqx.errors import UserError
from evor_eqx.nn.factory import Statistics, make_features
from evor_eqx.nn.fields import FactorisedField
from evor_eqx.nn.mlp import MLP
from evor_eqx.types import Batch, Metrics


def check_multitask(config: CriticConfig) -> FlowConfig:
    """Check that tasks can share an encoder with this configuration; return it as a `FlowConfig`.

    Raises UserError unless it is a flow with a factorised field, and `next_draw` is "any".
    """
    if isinstance(config, FlowConfig) and config.network.head_width and config.next_draw == "any":
        return config
    head_width = config.network.head_width if isinstance(config, FlowConfig) else "none"
    raise UserError(
        "tasks share an encoder only in a flow with a factorised field whose backups take any draw: got the critic "
        f"{config.kind}, head_width {head_width}, next_draw {config.next_draw!r}; take the flow, set head_width to 64 "
        "and next_draw to any"
    )


class Encoder(eqx.Module):
    """The last hidden layer of a network of (obs, chunk)."""

    inputs: CriticInputs
    network: MLP
    norm: eqx.nn.LayerNorm | None

    def __init__(self, inputs: CriticInputs, width: int, depth: int, use_layer_norm: bool, *, key: PRNGKeyArray):
        self.inputs = inputs
        self.network = MLP(inputs.size, width, width, depth - 1, use_layer_norm, key=key)
        self.norm = eqx.nn.LayerNorm(width) if use_layer_norm else None

    def __call__(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, " cond"]:
        hidden = jax.nn.gelu(self.network(self.inputs(obs, chunk)))
        return hidden if self.norm is None else self.norm(hidden)


class TaskFlows(eqx.Module):
    """One member: an encoder, and a flow for each task.

    `heads` is a flow critic without inputs of its own. Its arrays have a leading axis of tasks.
    """

    encoder: Encoder
    heads: FlowCritic
    num_tasks: int = eqx.field(static=True)

    def loss(self, target: "TaskFlows", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """The tasks' mean loss on the same window, each with its own reward and its own randomness."""
        cond = self.encoder(example.obs, example.chunk)
        next_cond = target.encoder(example.next_obs, example.next_chunk)

        def one(own, other, rewards, k):
            step = other.bellman_step(eqx.tree_at(_rewards, example, rewards), next_cond)
            return own.loss_at(cond, step, key=k)

        each_task = eqx.filter_vmap(one, in_axes=eqx.if_array(0), axis_size=self.num_tasks)
        keys = jax.random.split(key, self.num_tasks)
        losses, metrics = each_task(self.heads, target.heads, _rewards(example), keys)
        return jnp.mean(losses), jax.tree.map(jnp.mean, metrics)

    def task(self, index: int) -> FlowCritic:
        """The critic of one task, 0 <= index < num_tasks, complete in itself."""
        head = pick(self.heads, index)
        return eqx.tree_at(lambda critic: critic.inputs, head, self.encoder, is_leaf=lambda leaf: leaf is None)


class MultiTaskFlow(eqx.Module):
    """An ensemble of `TaskFlows`. The arrays of `members` have a leading axis of members."""

    members: TaskFlows
    num_members: int = eqx.field(static=True)
    combine: str = eqx.field(static=True)

    def loss(self, target: "MultiTaskFlow", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """The members' mean loss, as that of an `EnsembleCritic`."""
        keys = key[None] if self.num_members == 1 else jax.random.split(key, self.num_members)
        each_member = one_by_one(lambda own, other, k: own.loss(other, example, key=k), self.num_members)
        losses, metrics = each_member(self.members, target.members, keys)
        return jnp.mean(losses), jax.tree.map(jnp.mean, metrics)

    def task(self, index: int) -> AbstractCritic:
        """The critic of one task, 0 <= index < the number of tasks."""
        members = eqx.filter_vmap(lambda member: member.task(index))(self.members)
        return pick(members, 0) if self.num_members == 1 else EnsembleCritic(members, self.num_members, self.combine)


def make_multitask_flow(
    config: CriticConfig,
    obs_size: int,
    chunk_size: int,
    scales: ReturnScale,
    *,
    key: PRNGKeyArray,
    statistics: Statistics | None = None,
) -> MultiTaskFlow:
    """Untrained flows of several tasks on one encoder.

    **Arguments:**

    - `config`: a flow with a factorised field.
    - `obs_size`, `chunk_size`: sizes of an observation and of a chunk.
    - `scales`: one return scale per task, stacked.
    - `statistics`: mean and standard deviation of the observations; without them, observations are not standardised.

    **Raises:**

    UserError as `check_multitask`.
    """
    config = check_multitask(config)
    network, num_tasks = config.network, len(scales.shift)
    inputs = CriticInputs(make_features(network, obs_size, statistics), chunk_size)
    options = (network.use_layer_norm, network.num_frequencies, network.num_state_frequencies)

    def head(scale, head_key):
        field = FactorisedField(1, network.width, network.width, 0, network.head_width, *options, key=head_key)
        return config.on(field, None, scale)

    def member(member_key):
        encoder_key, heads_key = jax.random.split(member_key)
        encoder = Encoder(inputs, network.width, network.depth, network.use_layer_norm, key=encoder_key)
        return TaskFlows(encoder, eqx.filter_vmap(head)(scales, jax.random.split(heads_key, num_tasks)), num_tasks)

    keys = key[None] if config.num_members == 1 else jax.random.split(key, config.num_members)
    return MultiTaskFlow(eqx.filter_vmap(member)(keys), config.num_members, config.combine)


def _rewards(example):
    return example.reward, example.mask, example.mc_return
