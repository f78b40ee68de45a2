"""Regression targets of the reward-to-go flow, one small function each, all with the same signature.

Each answers, for one example: at which point z_t of the flow's path, and towards which velocity, is the field
regressed? `step` is the example's Bellman backup in the units of the flow: `step.velocity(z, t)` and
`step.transport(z_0)` belong to the target network at (next_obs, next_chunk); `step.backup(z)` is r + gamma m z.

| name        | what it converges to                                                             |
|-------------|----------------------------------------------------------------------------------|
| `velocity`  | the paper's formula: the mean is right, the law is the mean plus the base noise   |
| `bootstrap` | the Bellman law                                                                  |
| `coupled`   | the Bellman law, with less variance (the next return starts from the same noise) |
| `mc`        | the law of the recorded Monte-Carlo returns                                      |
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from evor_eqx import flow

ReturnState = Float[Array, " z"]
PathPoint = tuple[ReturnState, ReturnState]  # (z_t, velocity to regress on)


class BellmanStep(NamedTuple):
    """What a target may use of one transition; all returns are in the units of the flow."""

    velocity: Callable[[ReturnState, Float[Array, ""]], ReturnState]  # the target field at (next_obs, next_chunk)
    transport: Callable[[ReturnState], ReturnState]  # its flow from t = 0 to t = 1
    backup: Callable[[ReturnState], ReturnState]  # z -> r + gamma m z
    mc_return: ReturnState  # the recorded return


FlowTarget = Callable[..., PathPoint]


def velocity(step: BellmanStep, z_0: ReturnState, t: Float[Array, ""], *, key: PRNGKeyArray) -> PathPoint:
    """r + gamma m s(z_t | x', a', t), the paper's formula.

    The formula leaves z_t open. Here it is the point of the line from z_0 to the backup of one Euler step,
    z_1 = r + gamma m (z_0 + s(z_0, 0 | x', a')). Where reward and next state are certain, the fixed point is a field
    constant in (z, t), and one step is exact there.
    """
    z_1 = step.backup(z_0 + step.velocity(z_0, jax.numpy.zeros(())))
    z_t = flow.interpolate(z_0, z_1, t)
    return z_t, step.backup(step.velocity(z_t, t))


def bootstrap(step: BellmanStep, z_0: ReturnState, t: Float[Array, ""], *, key: PRNGKeyArray) -> PathPoint:
    """z_1 = r + gamma m z', z' the target flow run from fresh noise: the distributional Bellman equation, sampled."""
    return _straight(z_0, step.backup(step.transport(jax.random.normal(key, z_0.shape))), t)


def coupled(step: BellmanStep, z_0: ReturnState, t: Float[Array, ""], *, key: PRNGKeyArray) -> PathPoint:
    """As `bootstrap`, with z' from the same noise z_0 (path-coupled kin: arXiv 2605.08253)."""
    return _straight(z_0, step.backup(step.transport(z_0)), t)


def mc(step: BellmanStep, z_0: ReturnState, t: Float[Array, ""], *, key: PRNGKeyArray) -> PathPoint:
    """z_1 = the recorded Monte-Carlo return: no bootstrapping; episodes that were cut short bias it."""
    return _straight(z_0, step.mc_return, t)


def _straight(z_0: ReturnState, z_1: ReturnState, t: Float[Array, ""]) -> PathPoint:
    return flow.interpolate(z_0, z_1, t), z_1 - z_0


TARGETS: dict[str, FlowTarget] = {"velocity": velocity, "bootstrap": bootstrap, "coupled": coupled, "mc": mc}
