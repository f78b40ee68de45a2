"""Several critics as one: their return distributions are combined quantile by quantile.

Each member's distribution is read as N atoms of equal weights that have its mean: the means of its quantile function
over N equal parts. Their mean over members is the Wasserstein barycentre of these distributions. Their minimum is the
highest distribution that each of them dominates.

In an `EnsembleCritic`, each member bootstraps from itself. If members bootstrap from their combined value instead,
they form a `ValueEnsemble` inside one critic.
"""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnDistribution, quantile_means
from evor_eqx.nn.factory import make_mlp
from evor_eqx.nn.mlp import MLP

Models = TypeVar("Models")
COMBINE = {"mean": jnp.mean, "min": jnp.min}


class EnsembleCritic(AbstractCritic):
    """An ensemble of critics. The arrays of `members` have a leading axis of members; `combine` is "mean" or "min"."""

    members: AbstractCritic
    num_members: int = eqx.field(static=True)
    combine: str = eqx.field(static=True)

    def loss(self, target: "EnsembleCritic", example, *, key):
        """The members' mean loss on the same example, each with its own randomness."""
        keys = jax.random.split(key, self.num_members)
        losses, metrics = self._each(lambda own, other, k: own.loss(other, example, key=k))(
            self.members, target.members, keys
        )
        return jnp.mean(losses), jax.tree.map(jnp.mean, metrics)

    def distribution(self, obs, chunk, num_returns, num_steps):
        """The members' distributions, combined quantile by quantile; weights are 1 / N."""
        members = self._each(lambda own: own.distribution(obs, chunk, num_returns, num_steps))(self.members)
        atoms = COMBINE[self.combine](quantile_means(members, num_returns), axis=0)
        return ReturnDistribution.of_equal_weights(atoms)

    def member(self, index: int) -> AbstractCritic:
        """One of the critics, 0 <= index < num_members."""
        return pick(self.members, index)

    def _each(self, function: Callable) -> Callable:
        return one_by_one(function, self.num_members)


class ValueEnsemble(eqx.Module):
    """Networks with one output each, combined into one number: their mean or their minimum.

    The arrays of `networks` have a leading axis of members.
    """

    networks: MLP
    num_members: int = eqx.field(static=True)
    combine: str = eqx.field(static=True)

    def __call__(self, cond: Float[Array, " cond"]) -> Float[Array, ""]:
        return COMBINE[self.combine](self.each(cond))

    def each(self, cond: Float[Array, " cond"]) -> Float[Array, " members"]:
        """The output of each member."""
        return one_by_one(lambda network: network(cond)[0], self.num_members)(self.networks)


def make_value_ensemble(config: CriticConfig, cond_size: int, *, key: PRNGKeyArray) -> ValueEnsemble:
    """The networks of all members that a configuration asks for."""
    keys = jax.random.split(key, config.num_members)
    networks = eqx.filter_vmap(lambda k: make_mlp(config.network, cond_size, 1, key=k))(keys)
    return ValueEnsemble(networks, config.num_members, config.combine)


def one_by_one(function: Callable, num: int) -> Callable:
    """As vmap over `num` models whose arrays have a leading axis, but unrolled: one model after the other.

    A CPU computes a few matrix products faster than a batched one.
    """

    def each(*stacked):
        results = [function(*(pick(models, index) for models in stacked)) for index in range(num)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

    return each


def pick(stacked: Models, index: int) -> Models:
    """One of several models whose arrays have a leading axis."""
    arrays, static = eqx.partition(stacked, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda leaf: leaf[index], arrays), static)


def make_ensemble(
    make_member: Callable[[PRNGKeyArray], AbstractCritic], num_members: int, combine: str, *, key: PRNGKeyArray
) -> AbstractCritic:
    """An ensemble of critics that differ in their initial weights. With one member, the critic itself is returned."""
    if num_members == 1:
        return make_member(key)
    members = eqx.filter_vmap(make_member)(jax.random.split(key, num_members))
    return EnsembleCritic(members, num_members, combine)
