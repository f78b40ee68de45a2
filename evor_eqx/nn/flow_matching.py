"""Flow matching on straight lines: the path, its velocity, the loss and two integrators. Nothing about RL.

x_t = (1 - t) x_0 + t x_1 with noise x_0 (t = 0) and data x_1 (t = 1). The velocity field v_theta(x_t, t) is trained to
predict x_1 - x_0 (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003). Everything is for ONE
example; the caller vmaps.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float, Int

from evor_eqx.distributions import mid_levels

Velocity = Callable[[Float[Array, " x"], Float[Array, ""]], Float[Array, " x"]]


def interpolate(x_0: Float[Array, " x"], x_1: Float[Array, " x"], t: Float[Array, ""]) -> Float[Array, " x"]:
    """The point x_t = (1 - t) x_0 + t x_1 of the straight path from noise to data, t in [0, 1]."""
    return (1.0 - t) * x_0 + t * x_1


def regression_loss(vel: Float[Array, " x"], target: Float[Array, " x"]) -> Float[Array, ""]:
    """Squared error of a velocity, averaged over the coordinates. Raises ValueError unless the shapes are equal."""
    if vel.shape != target.shape:
        raise ValueError(f"velocity and target must have equal shapes, got {vel.shape} and {target.shape}")
    return jnp.mean(jnp.square(vel - target))


def euler(
    velocity: Velocity, x_0: Float[Array, " x"], num_steps: int | Int[Array, ""], end: float | Float[Array, ""] = 1.0
) -> Float[Array, " x"]:
    """Solve dx/dt = v(x, t) from x_0 at t = 0 with Euler steps of equal size, as the paper does.

    **Arguments:**

    - `velocity`: v(x, t).
    - `x_0`: the state at t = 0.
    - `num_steps`: at least 1. If it is an array, other values need no recompilation, but there is no gradient.
    - `end`: the last time, at most 1.

    **Returns:**

    The state at t = `end`.
    """

    def step(k, x):
        return x + velocity(x, k * end / num_steps) * end / num_steps

    return jax.lax.fori_loop(0, num_steps, step, x_0)


def adams(
    velocity: Velocity, x_0: Float[Array, " x"], num_steps: int | Int[Array, ""], end: float | Float[Array, ""] = 1.0
) -> Float[Array, " x"]:
    """As `euler`, with the two-step Adams-Bashforth method on times that crowd towards t = 1, at the same cost.

    x_{k+1} = x_k + d_k (v_k + d_k / (2 d_{k-1}) (v_k - v_{k-1})), d_k = t_{k+1} - t_k, t_k = `crowded`(k/K).
    The method is of second order and needs one velocity per step. The first step is Euler's, because there is no
    earlier velocity. The last step is Euler's, too: the straight-line field (E[x_1 | x_t] - x_t) / (1 - t) may jump
    at t = 1, and an Euler step ends at E[x_1 | x_t].
    """

    def time(k):
        return crowded(k / num_steps)

    def step(k, carry):
        x, last_vel = carry
        vel = velocity(x, end * time(k))
        size, last_size = time(k + 1) - time(k), time(k) - time(k - 1)
        slope = jnp.where((k == 0) | (k == num_steps - 1), 0.0, 0.5 * size / last_size)
        return x + end * size * (vel + slope * (vel - last_vel)), vel

    return jax.lax.fori_loop(0, num_steps, step, (x_0, jnp.zeros_like(x_0)))[0]


def crowded(level: Float[Array, ""] | float) -> Float[Array, ""]:
    """The time 1 - (1 - level)^{3/2}, denser towards t = 1, where fields of distributions with atoms are steepest."""
    return 1.0 - jnp.maximum(1.0 - level, 0.0) ** 1.5  # rounding may make 1 - level negative


class Solver(NamedTuple):
    """An integrator of flows, and the distribution of training times for it: as dense as the integrator's own times."""

    integrate: Callable[..., Float[Array, " x"]]  # `euler` or `adams`
    time: Callable[[Float[Array, ""]], Float[Array, ""]]  # a uniform number in [0, 1] -> a training time


SOLVERS = {"euler": Solver(euler, lambda level: level), "adams": Solver(adams, crowded)}


def mid_quantile_noise(num: int) -> Float[Array, " num"]:
    """Standard-normal quantiles at the levels (j - 1/2) / N, j = 1..N, in place of N random draws.

    Solutions of a one-dimensional ODE cannot cross. So the flow psi_1 maps quantiles to quantiles,
    F^-1(u) = psi_1(Phi^-1(u)). It maps these points to the mid-quantiles of the learned distribution.
    """
    return norm.ppf(mid_levels(num))
