"""Regression targets of the reward-to-go flow, one small function each, all with the same signature.

Each gives, for one example, a point z_t on the flow's path and the velocity that the field is regressed on at this
point. `step` is the example's Bellman backup in the units of the flow: `step.velocity(z, t)` and
`step.transport(z_0)` belong to the target network at (next_obs, next_chunk); `step.backup(z)` is r + gamma^n m z, with
the discount gamma^n after the n steps of the window.

| name        | what it converges to                                                             |
|-------------|----------------------------------------------------------------------------------|
| `velocity`  | the paper's formula: the mean is right, the distribution is the mean plus the base noise   |
| `bootstrap` | the Bellman distribution                                                                  |
| `coupled`   | the Bellman distribution, with less variance (the next return starts from the same noise) |
| `dcfm`      | the Bellman distribution, along the target's own path instead of a straight line          |
| `mc`        | the distribution of the recorded Monte-Carlo returns                                      |
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from evor_eqx.errors import UserError, told
from evor_eqx.nn import flow_matching
from evor_eqx.system.code_identity import is_own, versioned
from evor_eqx.system.registration import check_name, check_spelling

ReturnState = Float[Array, " z"]
PathPoint = tuple[ReturnState, ReturnState]  # (z_t, velocity to regress on)


class BellmanStep(NamedTuple):
    """What a target may use of one transition. All returns are in the units of the flow, of shape [1].

    In these units the data's returns have mean 0 and standard deviation 1.

    - `velocity(z, t)`: the target network's velocity at the next observation and the next chunk.
    - `transport(z_0)`, `transport(z_0, t)`: the flow of that velocity from time 0 to time 1, or to t.
    - `backup(z)`: r + gamma^n m z, the Bellman backup of a return z of the next state. r is the discounted sum of the
      window's n rewards, and m is 0 where the task ended.
    - `mc_return`: the recorded discounted return. What came after a recording that was cut is missing in it.
    - `control_variate`: lambda of the target `coupled`, in [0, 1].
    """

    velocity: Callable[[ReturnState, Float[Array, ""]], ReturnState]
    transport: Callable[..., ReturnState]
    backup: Callable[[ReturnState], ReturnState]
    mc_return: ReturnState
    control_variate: float


FlowTarget = Callable[..., PathPoint]
Target = TypeVar("Target", bound=FlowTarget)
TARGETS: dict[str, FlowTarget] = {}  # by name


def register_flow_target(name: str, *, version: str | None = None) -> Callable[[Target], Target]:
    """Register a flow-TD target under a name: `--critic.target NAME`, `preset(..., target=NAME)`.

    **Arguments:**

    - `name`: the name; no other function may have it. The same function, defined again (a notebook's cell that is run
      again), takes the place of the earlier one.
    - `version`: stands for the function's code if its source cannot be read. Runs with the same version are the same.

    **Returns:**

    A decorator for a function (step, z_0, t, *, key) -> (z_t, velocity): where the field is regressed, and on which
    velocity. The function sees one example. Returns are in the units of the flow, in which the data's returns have mean
    0 and standard deviation 1.

    - `step`: one Bellman backup by the target network.

      - `step.transport(z_0)`: a return of the next state; `step.transport(z_0, t)` stops at time t. Shape [1].
      - `step.velocity(z, t)`: the target network's velocity at the next observation and the next chunk. Shape [1].
      - `step.backup(z)`: r + gamma^n m z, the backup of a return z of the next state. Shape [1].
      - `step.mc_return`: the recorded return, without what came after a recording that was cut. Shape [1].
      - `step.control_variate`: the setting of that name, a float in [0, 1].

    - `z_0`: noise from N(0, 1), where the path starts. `z_0`, `z_t` and the velocity have shape [1].
    - `t`: a time in [0, 1], a scalar; 0 is noise, 1 is the return.
    - `key`: a random key.

    **Raises:**

    UserError if the name is taken.
    """

    check_spelling("flow target", name)  # here as well, for a decorator without a name

    def register(target: Target) -> Target:
        if not callable(target):
            raise UserError(f"flow target {name!r}: got {target!r}, expected a function(step, z_0, t, *, key); mend it")
        check_name("flow target", name, target, TARGETS.get(name))
        TARGETS[name] = versioned(target, version)
        return target

    return register


def flow_target(name: str) -> FlowTarget:
    """The flow target of a name. Raises UserError for an unknown one, and for one of your own that gives no pair."""
    if name not in TARGETS:
        raise UserError(f"target is {name!r}: expected one of {', '.join(TARGETS)}; register it, or choose another")
    if is_own(TARGETS[name]):
        _check_pair(name, TARGETS[name])
    return TARGETS[name]


def _check_pair(name: str, target: FlowTarget) -> None:
    """Trace a target, which computes nothing, and look at the shapes of what it gives."""
    z, t = jnp.zeros(1), jnp.zeros(())
    step = BellmanStep(lambda z, t: z, lambda z_0, end=1.0: z_0, lambda z: z, z, 0.0)
    with told(f"flow target {name!r}", "it to run on JAX arrays"):
        found = jax.eval_shape(lambda z_0, t, key: target(step, z_0, t, key=key), z, t, jax.random.key(0))
    is_pair = isinstance(found, tuple | list) and len(found) == 2
    if not (is_pair and all(getattr(each, "shape", None) == (1,) and each.dtype == z.dtype for each in found)):
        got = jax.tree.map(lambda leaf: f"{leaf.dtype} {leaf.shape}", found)
        raise UserError(
            f"flow target {name!r}: got {got}, expected a pair (z_t, velocity) of {z.dtype} (1,) each; mend it"
        )


@register_flow_target("velocity")
def velocity(step: BellmanStep, z_0: ReturnState, t: Float[Array, ""], *, key: PRNGKeyArray) -> PathPoint:
    """r + gamma^n m s(z_t | x', a', t), the paper's formula.

    The formula leaves z_t open. Here it is drawn independently of the transition: z_t = z_0 + t e with e ~ N(0, 1),
    because returns have unit variance in the units of the flow. So the target's mean at any (z, t) is
    E r + gamma^n m E s(z, t | x', a'), and the fixed point is a field constant in (z, t), the mean return. A z_t on the
    path to a sampled backup would reveal the reward, and the mean would be wrong where rewards are random.
    """
    z_t = z_0 + t * jax.random.normal(key, z_0.shape)
    return z_t, step.backup(step.velocity(z_t, t))


@register_flow_target("bootstrap")
def bootstrap(step: BellmanStep, z_0: ReturnState, t: Float[Array, ""], *, key: PRNGKeyArray) -> PathPoint:
    """z_1 = r + gamma^n m z', z' the target flow run from fresh noise: the distributional Bellman equation, sampled."""
    return _straight(z_0, step.backup(step.transport(jax.random.normal(key, z_0.shape))), t)


@register_flow_target("coupled")
def coupled(step: BellmanStep, z_0: ReturnState, t: Float[Array, ""], *, key: PRNGKeyArray) -> PathPoint:
    """As `bootstrap`, with z' from the same noise z_0, and a control variate (path-coupled flows, arXiv 2605.08253).

    The next state's path z'_t = (1 - t) z_0 + t z' shares its noise with this one. With lambda > 0 a part of its
    velocity is replaced by the target field's velocity at z'_t: z_1 - z_0 + lambda gamma^n m (s(z'_t, t) - (z' - z_0)).
    That is meant to remove variance. It adds a bias, because z' is a function of z_0: the difference is no noise, and 0
    only where the target's paths are straight.
    """
    z_next = step.transport(z_0)
    z_t, vel = _straight(z_0, step.backup(z_next), t)
    if step.control_variate == 0:
        return z_t, vel
    surprise = step.velocity(flow_matching.interpolate(z_0, z_next, t), t) - (z_next - z_0)
    _, correction = jax.jvp(step.backup, (z_next,), (surprise,))
    return z_t, vel + step.control_variate * correction


@register_flow_target("dcfm")
def dcfm(step: BellmanStep, z_0: ReturnState, t: Float[Array, ""], *, key: PRNGKeyArray) -> PathPoint:
    """The target flow's own path pushed forward by the backup (Value Flows, arXiv 2510.07650), made exact at t = 0.

    Pushing the whole path, z_t = r + gamma^n m z'_t, starts at r + gamma^n m z_0 instead of the noise, and so learns
    another distribution. Here the push-forward T_t(z) = (1 - t) z + t (r + gamma^n m z) fades in: it is the identity at
    t = 0 and the backup at t = 1. With v' = s(z'_t, t), its velocity is
    (r + gamma^n m z'_t) - z'_t + (1 - t) v' + t gamma^n m v'. Half of the examples take the `bootstrap` path, the
    anchor. Both end in the Bellman distribution, hence so does their mixture.
    """
    noise_key, anchor_key = jax.random.split(key)
    anchor = jax.random.bernoulli(anchor_key)
    start = jnp.where(anchor, jax.random.normal(noise_key, z_0.shape), z_0)
    z_next = step.transport(start, jnp.where(anchor, 1.0, t))  # one run of the flow serves either
    next_vel = step.velocity(z_next, t)
    backed_up, backed_up_vel = jax.jvp(step.backup, (z_next,), (next_vel,))
    pushed = (
        flow_matching.interpolate(z_next, backed_up, t),
        backed_up - z_next + flow_matching.interpolate(next_vel, backed_up_vel, t),
    )
    return jax.tree.map(lambda a, b: jnp.where(anchor, a, b), _straight(z_0, backed_up, t), pushed)


@register_flow_target("mc")
def mc(step: BellmanStep, z_0: ReturnState, t: Float[Array, ""], *, key: PRNGKeyArray) -> PathPoint:
    """z_1 is the recorded Monte-Carlo return. No bootstrapping, but episodes that were cut short bias it."""
    return _straight(z_0, step.mc_return, t)


def _straight(z_0: ReturnState, z_1: ReturnState, t: Float[Array, ""]) -> PathPoint:
    return flow_matching.interpolate(z_0, z_1, t), z_1 - z_0
