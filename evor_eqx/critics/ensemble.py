"""Several critics as one: their laws are combined quantile by quantile.

Each member's law is read as N atoms of equal weights that have its mean: the means of its quantile function over N
equal parts. Their mean over members is the Wasserstein barycentre of these laws, and their minimum the highest law that
each of them dominates. There each member bootstraps from itself; members that learn from what all of them say are a
`ValueEnsemble` inside one critic.
"""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnLaw, quantile_means
from evor_eqx.nn.mlp import MLP

Models = TypeVar("Models")
COMBINE = {"mean": jnp.mean, "min": jnp.min}


class EnsembleCritic(AbstractCritic):
    """`members` is one critic whose arrays carry a leading axis; `combine` is "mean" or "min"."""

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

    def law(self, obs, chunk, num_returns, num_steps):
        """The members' laws, combined quantile by quantile; weights are 1 / N."""
        members = self._each(lambda own: own.law(obs, chunk, num_returns, num_steps))(self.members)
        atoms = COMBINE[self.combine](quantile_means(members, num_returns), axis=0)
        return ReturnLaw(atoms=atoms, weights=jnp.full_like(atoms, 1.0 / num_returns))

    def member(self, index: int) -> AbstractCritic:
        """One of the critics, 0 <= index < num_members."""
        return pick(self.members, index)

    def _each(self, function: Callable) -> Callable:
        return one_by_one(function, self.num_members)


class ValueEnsemble(eqx.Module):
    """Networks that each say one number, and the number that they agree on: their mean or minimum.

    `networks` is one network whose arrays carry a leading axis.
    """

    networks: MLP
    num_members: int = eqx.field(static=True)
    combine: str = eqx.field(static=True)

    def __call__(self, cond: Float[Array, " cond"]) -> Float[Array, ""]:
        return COMBINE[self.combine](self.each(cond))

    def each(self, cond: Float[Array, " cond"]) -> Float[Array, " members"]:
        """What each member says."""
        return one_by_one(lambda network: network(cond)[0], self.num_members)(self.networks)


def one_by_one(function: Callable, num: int) -> Callable:
    """`function` of one model, applied to `num` models whose arrays carry a leading axis, and its results stacked.

    What vmap says, but written out: a CPU does a few matrix products faster than one with a leading axis.
    """

    def each(*stacked):
        results = [function(*(pick(models, index) for models in stacked)) for index in range(num)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)

    return each


def pick(stacked: Models, index: int) -> Models:
    """One of several models whose arrays carry a leading axis."""
    arrays, static = eqx.partition(stacked, eqx.is_array)
    return eqx.combine(jax.tree.map(lambda leaf: leaf[index], arrays), static)


def make_ensemble(
    make_member: Callable[[PRNGKeyArray], AbstractCritic], num_members: int, combine: str, *, key: PRNGKeyArray
) -> AbstractCritic:
    """`num_members` critics that differ in their initial weights; a single one is returned as it is."""
    if num_members == 1:
        return make_member(key)
    members = eqx.filter_vmap(make_member)(jax.random.split(key, num_members))
    return EnsembleCritic(members, num_members, combine)
