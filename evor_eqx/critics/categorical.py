"""Baselines: the reward-to-go as weights on K fixed, evenly spaced atoms, trained by cross-entropy.

`CategoricalCritic` (C51; Bellemare, Dabney and Munos 2017, arXiv 1707.06887) moves every atom by the Bellman backup
and projects the result onto the atoms. `HLGaussCritic` (Imani and White 2018, arXiv 1806.04613; Farebrother et al.
2024, "Stop Regressing", arXiv 2403.03950) backs up the mean alone and spreads it over the atoms by a narrow Gaussian.

Differences from the papers:

1. both evaluate the behaviour policy on n-step windows of its data; there is no maximum over actions;
2. the atoms span every return that rewards allow, [r_min, r_max] / (1 - gamma), instead of a tuned range;
3. HL-Gauss's atoms reach further by `PADDING` spacings on either side. Without them the Gaussian of a return at the
   end of the range, such as that of a reached goal, is cut near its middle, its mean is 0.37 spacings off, and
   bootstrapping adds such errors up.

No weight is ever exactly zero. So if tau_R is far smaller than the range of returns, the tiny weights of the highest
atoms decide the soft value. An ensemble avoids this, because it reads the distribution as N atoms of equal weight.
"""

from abc import abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.critics.base import AbstractCritic, CriticInputs, ReturnScale
from evor_eqx.critics.registry import register_critic
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.errors import UserError
from evor_eqx.nn.factory import make_mlp
from evor_eqx.nn.mlp import MLP
from evor_eqx.system.checked import within
from evor_eqx.types import Batch, Metrics

SIGMA = 0.75  # of the Gaussian of HL-Gauss, in spacings of the atoms (Farebrother et al.)
PADDING = 3.0  # atoms of HL-Gauss beyond the possible returns, on either side, in spacings without padding


@dataclass(frozen=True)
class CategoricalConfig(CriticConfig):
    """Weights on fixed atoms over the possible returns."""

    num_atoms: int = within(2, 1001, 51)
    """Atoms, K; 11 to 201."""

    def check_returns(self, returns: Float[np.ndarray, " rows"], scale: ReturnScale) -> None:
        """Raise UserError unless every recorded return lies in the range of the atoms; see `CriticConfig`."""
        check_support(returns, float(scale.low), float(scale.high))


@register_critic("c51")
@dataclass(frozen=True)
class C51Config(CategoricalConfig):
    """C51: the distribution itself is backed up."""

    def make(self, inputs: CriticInputs, scale: ReturnScale, *, key: PRNGKeyArray) -> "CategoricalCritic":
        """One network with K outputs; see `CriticConfig.make`. Raises UserError if the range of returns has no end."""
        network = make_mlp(self.network, inputs.size, self.num_atoms, key=key)
        return CategoricalCritic(network, inputs, scale, make_support(scale, self.num_atoms))


@register_critic("hl_gauss")
@dataclass(frozen=True)
class HLGaussConfig(CategoricalConfig):
    """HL-Gauss: the mean is backed up, and learned by classification."""

    def make(self, inputs: CriticInputs, scale: ReturnScale, *, key: PRNGKeyArray) -> "HLGaussCritic":
        """One network with K outputs; see `CriticConfig.make`. Raises UserError if the range of returns has no end."""
        network = make_mlp(self.network, inputs.size, self.num_atoms, key=key)
        return HLGaussCritic(network, inputs, scale, make_support(scale, self.num_atoms, PADDING))


def check_support(returns: Float[np.ndarray, " rows"], low: float, high: float) -> None:
    """Raise UserError as `check_range`, and unless every recorded return lies in the range, up to rounding."""
    check_range(low, high)
    slack = 1e-5 * (high - low)
    outside = returns[~((returns >= low - slack) & (returns <= high + slack))]
    if outside.size:
        raise UserError(
            f"returns: {outside.size} of {returns.size} lie outside the support, such as {outside[0]}: expected "
            f"{low} to {high}; take the range from training.statistics.return_statistics of the same data and discount"
        )


def check_range(low: float, high: float) -> None:
    """Raise UserError unless low < high, and high - low is a finite number in single precision."""
    if not 0 < high - low <= float(np.finfo(np.float32).max):
        raise UserError(
            f"the range of returns is {low} to {high}: expected finite numbers, low < high; give the scale of the data "
            "(training.statistics.return_statistics); if every recorded reward is zero, choose a critic without fixed "
            "atoms"
        )


def make_support(scale: ReturnScale, num_atoms: int, padding: float = 0.0) -> Float[Array, " atoms"]:
    """Evenly spaced atoms over all possible returns, in units of the model; UserError if the range is empty.

    `padding` extends them on either side by this many times (high - low) / (K - 1); K = num_atoms >= 2.
    """
    check_range(float(scale.low), float(scale.high))
    low, high = scale.to_unit(scale.low), scale.to_unit(scale.high)
    margin = padding * (high - low) / (num_atoms - 1)
    return jnp.linspace(low - margin, high + margin, num_atoms)


def project(
    atoms: Float[Array, " moved"], weights: Float[Array, " moved"], support: Float[Array, " atoms"]
) -> Float[Array, " atoms"]:
    """Weights on an evenly spaced, rising support: each atom's weight is split between its two neighbours there.

    Phi(z)_k = sum_j w_j [1 - |clip(z_j) - s_k| / spacing], [.] clipped to [0, 1] (C51's equation 7). The total weight
    is kept. The mean is kept if no atom lies outside the support.
    """
    inside = jnp.clip(atoms, support[0], support[-1])
    distance = jnp.abs(inside[None, :] - support[:, None]) / spacing(support)
    return jnp.clip(1.0 - distance, 0.0, 1.0) @ weights


def gaussian_histogram(
    value: Float[Array, ""], support: Float[Array, " atoms"], sigma: Float[Array, ""] | float
) -> Float[Array, " atoms"]:
    """Weights of N(value, sigma^2) in the bins around the atoms of an evenly spaced support, cut there and normalised.

    w_k = [Phi((s_k + d/2 - v) / sigma) - Phi((s_k - d/2 - v) / sigma)] / total, d the spacing; `value` in the support.
    """
    width = spacing(support)
    edges = jnp.append(support - width / 2, support[-1] + width / 2)
    weights = jnp.diff(norm.cdf((edges - value) / sigma))
    return weights / jnp.sum(weights)


def spacing(support: Float[Array, " atoms"]) -> Float[Array, ""]:
    """Distance between neighbours of an evenly spaced support."""
    return (support[-1] - support[0]) / (support.shape[0] - 1)


class AbstractCategorical(AbstractCritic):
    """Weights on fixed atoms. `support` holds the atoms in the units of the model; it is never trained."""

    network: MLP
    inputs: CriticInputs
    scale: ReturnScale
    support: Float[Array, " atoms"]

    def loss(
        self, target: "AbstractCategorical", example: Batch, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Metrics]:
        """-sum_k w_k log p_k(x, a) for one example, w the backup on the atoms."""
        backup = jax.lax.stop_gradient(target.backup(example))
        loss = -jnp.sum(backup * self.predict(example.obs, example.chunk))
        return loss, {"loss": loss, "target_return": jnp.sum(backup * self.atoms())}

    def distribution(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnDistribution:
        """The K fixed atoms with their weights. `num_returns` is ignored; only an `EnsembleCritic` gives N atoms."""
        return ReturnDistribution(atoms=self.atoms(), weights=jnp.exp(self.predict(obs, chunk)))

    def predict(self, obs: Float[Array, " obs"], chunk: Float[Array, " chunk"]) -> Float[Array, " atoms"]:
        """Logarithms of the weights."""
        return jax.nn.log_softmax(self.network(self.inputs(obs, chunk)))

    @abstractmethod
    def backup(self, example: Batch) -> Float[Array, " atoms"]:
        """The backup r + gamma m z' by this network, as weights on the atoms."""

    def atoms(self) -> Float[Array, " atoms"]:
        """The support in units of return."""
        return self.scale.to_return(jax.lax.stop_gradient(self.support))


class CategoricalCritic(AbstractCategorical):
    """C51: the distribution itself is backed up."""

    def backup(self, example: Batch) -> Float[Array, " atoms"]:
        """Every atom moved by r + gamma m z', then projected."""
        weights = jnp.exp(self.predict(example.next_obs, example.next_chunk))
        moved = self.scale.backup(example, self.atoms())
        return project(moved, weights, self.support)


class HLGaussCritic(AbstractCategorical):
    """HL-Gauss: the mean is backed up, and learned by classification.

    Its distribution is NOT that of the reward-to-go. It is the distribution of one backup's target r + gamma m Q(x',
    a'), smoothed by a Gaussian of 0.75 spacings. If reward, next state and next chunk are certain, it is one smoothed
    point. Otherwise it has the spread of these n steps, but not of the rewards after them.
    """

    def backup(self, example: Batch) -> Float[Array, " atoms"]:
        """The histogram of N(r + gamma m E z', sigma^2)."""
        z_next = jnp.sum(jnp.exp(self.predict(example.next_obs, example.next_chunk)) * self.atoms())
        value = self.scale.backup(example, z_next)
        return gaussian_histogram(value, self.support, SIGMA * spacing(self.support))
