"""Flow matching on straight lines: the path, its velocity, the loss and two integrators. Nothing about RL.

x_t = (1 - t) x_0 + t x_1 with x_0 noise (t = 0) and x_1 data (t = 1); the velocity field v_theta(x_t, t) regresses
x_1 - x_0 (Lipman et al. 2023, arXiv 2210.02747; Liu et al. 2023, arXiv 2209.03003). Everything is for ONE example;
the caller vmaps.
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
    """Squared error of a velocity, averaged over the coordinates; shapes must be equal (it never broadcasts)."""
    if vel.shape != target.shape:
        raise ValueError(f"velocity and target must have equal shapes, got {vel.shape} and {target.shape}")
    return jnp.mean(jnp.square(vel - target))


def euler(
    velocity: Velocity, x_0: Float[Array, " x"], num_steps: int | Int[Array, ""], end: float | Float[Array, ""] = 1.0
) -> Float[Array, " x"]:
    """Carry x_0 from t = 0 to t = `end` <= 1 along dx/dt = v(x, t) by `num_steps` Euler steps (at least 1).

    What the kin do. `num_steps` may be an array: then another number of steps needs no recompilation, and no gradient
    is defined.
    """

    def step(k, x):
        return x + velocity(x, k * end / num_steps) * end / num_steps

    return jax.lax.fori_loop(0, num_steps, step, x_0)


def adams(
    velocity: Velocity, x_0: Float[Array, " x"], num_steps: int | Int[Array, ""], end: float | Float[Array, ""] = 1.0
) -> Float[Array, " x"]:
    """As `euler`, at the same cost, by the two-step Adams-Bashforth method on times that crowd towards t = 1.

    x_{k+1} = x_k + d_k (v_k + d_k / (2 d_{k-1}) (v_k - v_{k-1})), d_k = t_{k+1} - t_k, t_k = `crowded`(k/K):
    one velocity a step, and second order. The first step is Euler's for want of a past, and so is the last, because
    the straight-line field (E[x_1 | x_t] - x_t) / (1 - t) may jump there, and Euler's step lands on E[x_1 | x_t].
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
    """1 - (1 - level)^{3/2}: times that crowd towards t = 1, where the field of a law with atoms is steepest."""
    return 1.0 - jnp.maximum(1.0 - level, 0.0) ** 1.5  # rounding must not go below 0


class Solver(NamedTuple):
    """How a flow is solved, and how its field is trained for that: at times that are as dense as the solver's."""

    integrate: Callable[..., Float[Array, " x"]]  # `euler` or `adams`
    time: Callable[[Float[Array, ""]], Float[Array, ""]]  # a uniform number in [0, 1] -> a time to train at


SOLVERS = {"euler": Solver(euler, lambda level: level), "adams": Solver(adams, crowded)}


def mid_quantile_noise(num: int) -> Float[Array, " num"]:
    """Standard-normal quantiles at the levels (j - 1/2) / N, j = 1..N: a stratified stand-in for N draws.

    Solutions of a one-dimensional ODE cannot cross, so the flow carries quantiles to quantiles,
    F^-1(u) = psi_1(Phi^-1(u)), and these starting points arrive at the mid-quantiles of the learned law.
    """
    return norm.ppf(mid_levels(num))
