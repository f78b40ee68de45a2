"""Phase 2: the reward-to-go as a flow, s_theta(z, t | obs, chunk), trained by flow-based TD (EVOR).

Choices of this project where the paper's summary is silent:

1. the state of the flow is the return standardised by the data's Monte Carlo returns (`ReturnScale`), because the
   base noise has unit size while returns of OGBench span tens;
2. backed-up returns are clipped to the range that rewards allow, [r_min, r_max] / (1 - gamma). Returned distributions
   are not clipped, so that they show what was learned;
3. n-step windows of the data replace one-step transitions: the critic evaluates the behaviour policy on its own
   data, so they need no correction; where a backup takes the best draw instead of any (`next_draw`), the distribution
   is that of a policy that follows the data for n steps, then takes the best draw, and so on;
4. atoms start at the mid-quantiles of the noise instead of random draws (`flow_matching.mid_quantile_noise`);
5. with the second-order solver, training times are as dense as its steps (`flow_matching.Solver`), not uniform.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.config import CriticConfig, FieldConfig
from evor_eqx.critics.base import AbstractCritic, CriticInputs, ReturnScale
from evor_eqx.critics.flow_targets import BellmanStep, FlowTarget, flow_target
from evor_eqx.critics.registry import register_critic
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.nn import flow_matching
from evor_eqx.nn.factory import make_field
from evor_eqx.nn.fields import AbstractField
from evor_eqx.system.checked import one_of, within
from evor_eqx.system.code_identity import code_digest, is_own
from evor_eqx.types import Batch, Metrics


@register_critic("flow")
@dataclass(frozen=True)
class FlowConfig(CriticConfig):
    """A flow of returns (EVOR)."""

    label_field: ClassVar[str] = "target"

    target: str = "bootstrap"
    """The flow's regression target: velocity (the paper's), bootstrap, coupled, dcfm or mc, or a registered one."""
    control_variate: float = within(0.0, 1.0, 0.0)
    """Share lambda of the target field's own velocity in the `coupled` target; 0 (unbiased) to 1."""
    num_target_steps: int = within(1, 1000, 10)
    """Steps in flow time of the target network's flow; 5 to 20."""
    num_times: int = within(1, 1024, 1)
    """Times at which the field is regressed on each backup, one in each of so many equal parts of [0, 1]; 1 (the
    paper's) to 16. More times take noise out of the gradient. With a factorised field they are cheap."""
    solver: str = one_of("euler", "adams", default="euler")
    """How the return flow is solved: euler (the paper's) or adams, second order at the same cost."""
    network: FieldConfig = field(default_factory=FieldConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        flow_target(self.target)

    def own_code(self) -> dict[str, str]:
        """As `CriticConfig.own_code`, with the code of a target that the user registered."""
        target = flow_target(self.target)
        own = {self.target: code_digest(target, f"flow target {self.target!r}")} if is_own(target) else {}
        return super().own_code() | own

    def make(self, inputs: CriticInputs, scale: ReturnScale, *, key: PRNGKeyArray) -> "FlowCritic":
        """A field with one coordinate, the return; see `CriticConfig.make`."""
        return self.on(make_field(self.network, 1, inputs.size, key=key), inputs, scale)

    def on(self, velocity: AbstractField, inputs: Any, scale: ReturnScale) -> "FlowCritic":
        """The critic with a given velocity field."""
        return FlowCritic(
            field=velocity,
            inputs=inputs,
            scale=scale,
            solver=flow_matching.SOLVERS[self.solver],
            flow_target=flow_target(self.target),
            num_target_steps=self.num_target_steps,
            num_times=self.num_times,
            control_variate=self.control_variate,
        )


class FlowCritic(AbstractCritic):
    """A one-dimensional flow from N(0, 1) to the distribution of the reward-to-go."""

    field: AbstractField
    inputs: Any  # (obs, chunk) -> what the field is conditioned on; None in a head of `TaskFlows`
    scale: ReturnScale
    solver: flow_matching.Solver = eqx.field(static=True)
    flow_target: FlowTarget = eqx.field(static=True)
    num_target_steps: int = eqx.field(static=True)
    num_times: int = eqx.field(static=True)
    control_variate: float = eqx.field(static=True)

    def loss(self, target: "FlowCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """|| s_theta(z_t, t | x, a) - target ||^2 for one example, at the point and target that `flow_target` names."""
        return self.loss_at(self.inputs(example.obs, example.chunk), target.bellman_step(example), key=key)

    def loss_at(
        self, cond: Float[Array, " cond"], step: BellmanStep, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss, given the field's condition and the target network's Bellman step: a mean over `num_times` times.

        All times share the noise z_0 and the backup, so the target's flow is solved once (by `dcfm`, at each time).
        The metric `target_return` is z_0 plus the regression target, in units of return. Its mean is the mean of the
        backup, except for `coupled` with a control variate, which is biased. With `dcfm`, whose paths are curved, this
        needs uniform times t, so it only holds for `euler`.
        """
        noise_key, time_key, target_key = jax.random.split(key, 3)
        z_0 = jax.random.normal(noise_key, (1,))
        levels = (jnp.arange(self.num_times) + jax.random.uniform(time_key, (self.num_times,))) / self.num_times
        velocity = self.field.bind(cond)

        def at(level):
            t = self.solver.time(level)
            z_t, vel = jax.lax.stop_gradient(self.flow_target(step, z_0, t, key=target_key))
            loss = flow_matching.regression_loss(velocity(z_t, t), vel)
            return loss, {"loss": loss, "target_return": self.scale.to_return(z_0 + vel)[0]}

        if self.num_times == 1:  # without an axis of length 1, with which XLA may round otherwise
            return at(levels[0])
        return jax.tree.map(jnp.mean, jax.vmap(at)(levels))

    def distribution(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnDistribution:
        """The N mid-quantiles of the learned distribution, each with weight 1 / N."""
        return self.distribution_at(self.inputs(obs, chunk), num_returns, num_steps)

    def distribution_at(
        self, cond: Float[Array, " cond"], num_returns: int, num_steps: int | Int[Array, ""]
    ) -> ReturnDistribution:
        """As `distribution`, given the field's condition."""
        noise = flow_matching.mid_quantile_noise(num_returns)
        return ReturnDistribution.of_equal_weights(self.transport(cond, noise, num_steps))

    def transport(
        self, cond: Float[Array, " cond"], z_0: Float[Array, " atoms"], num_steps: int | Int[Array, ""]
    ) -> Float[Array, " atoms"]:
        """Carry noise to returns, in units of return."""
        velocity = self.field.bind(cond)
        unit = jax.vmap(lambda noise: self.solver.integrate(velocity, noise, num_steps))(z_0[:, None])[:, 0]
        return self.scale.to_return(unit)

    def bellman_step(self, example: Batch, next_cond: Float[Array, " cond"] | None = None) -> BellmanStep:
        """One transition's backup by this network, in the units of the flow.

        `next_cond` is the field's condition at (next_obs, next_chunk). It is computed if not given.
        """
        cond = self.inputs(example.next_obs, example.next_chunk) if next_cond is None else next_cond
        velocity = self.field.bind(cond)

        def backup(unit):
            return self.scale.backup(example, self.scale.to_return(unit))

        return BellmanStep(
            velocity=velocity,
            transport=lambda z_0, end=1.0: self.solver.integrate(velocity, z_0, self.num_target_steps, end),
            backup=backup,
            mc_return=self.scale.to_unit(example.mc_return)[None],
            control_variate=self.control_variate,
        )
