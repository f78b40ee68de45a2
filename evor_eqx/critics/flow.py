"""Phase 2: the reward-to-go as a flow, s_theta(z, t | obs, chunk), trained by flow-based TD (EVOR).

Choices of this project where the paper's summary is silent:

1. the state of the flow is the return standardised by the data's Monte-Carlo returns (`ReturnScale`), because the
   base noise has unit size while returns of OGBench span tens;
2. backed-up returns are clipped to the range that rewards allow, [r_min, r_max] / (1 - gamma); laws are not, so that
   they show what was learned;
3. n-step windows of the data replace one-step transitions: the critic evaluates the behaviour policy on its own
   data, so they need no correction; where a backup takes the best draw instead of any (`next_draw`), the law is that
   of the data's way for n rewards and the improved choice after them, over and over;
4. atoms start at the mid-quantiles of the noise instead of random draws (`flow.mid_quantile_noise`);
5. with the second-order solver, times are drawn as densely as it steps (`flow.Solver`), not uniformly.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.critics.base import AbstractCritic, ReturnScale
from evor_eqx.critics.flow_targets import BellmanStep, FlowTarget
from evor_eqx.distributions import ReturnLaw
from evor_eqx.nn import flow_matching
from evor_eqx.nn.fields import AbstractField
from evor_eqx.types import Batch, Metrics


class FlowCritic(AbstractCritic):
    """A one-dimensional flow from N(0, 1) to the law of the reward-to-go."""

    field: AbstractField
    inputs: Any  # (obs, chunk) -> what the field is conditioned on; None in a head of a `SharedCritic`
    scale: ReturnScale
    solver: flow_matching.Solver = eqx.field(static=True)
    flow_target: FlowTarget = eqx.field(static=True)
    num_target_steps: int = eqx.field(static=True)
    control_variate: float = eqx.field(static=True)

    def loss(self, target: "FlowCritic", example: Batch, *, key: PRNGKeyArray) -> tuple[Float[Array, ""], Metrics]:
        """|| s_theta(z_t, t | x, a) - target ||^2 for one example, at the point and target that `flow_target` names."""
        return self.loss_at(self.inputs(example.obs, example.chunk), target.bellman_step(example), key=key)

    def loss_at(
        self, cond: Float[Array, " cond"], step: BellmanStep, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Metrics]:
        """The loss, given what the field is conditioned on and the target network's view of the backup.

        The recorded `target_return`, of z_0 plus the velocity regressed on, has the backup's mean; with `dcfm`, whose
        paths bend, only where t is uniform, as `euler` has it.
        """
        noise_key, time_key, target_key = jax.random.split(key, 3)
        z_0 = jax.random.normal(noise_key, (1,))
        t = self.solver.time(jax.random.uniform(time_key))
        z_t, vel = jax.lax.stop_gradient(self.flow_target(step, z_0, t, key=target_key))
        loss = flow_matching.regression_loss(self.field(z_t, t, cond), vel)
        return loss, {"loss": loss, "target_return": self.scale.to_return(z_0 + vel)[0]}

    def law(
        self,
        obs: Float[Array, " obs"],
        chunk: Float[Array, " chunk"],
        num_returns: int,
        num_steps: int | Int[Array, ""],
    ) -> ReturnLaw:
        """The N mid-quantiles of the learned law, each with weight 1 / N."""
        return self.law_at(self.inputs(obs, chunk), num_returns, num_steps)

    def law_at(self, cond: Float[Array, " cond"], num_returns: int, num_steps: int | Int[Array, ""]) -> ReturnLaw:
        """The law, given what the field is conditioned on."""
        z_1 = self.transport(cond, flow_matching.mid_quantile_noise(num_returns), num_steps)
        return ReturnLaw(atoms=z_1, weights=jnp.full(num_returns, 1.0 / num_returns))

    def transport(
        self, cond: Float[Array, " cond"], z_0: Float[Array, " atoms"], num_steps: int | Int[Array, ""]
    ) -> Float[Array, " atoms"]:
        """Carry noise to returns, in units of return."""
        velocity = self.field.bind(cond)
        unit = jax.vmap(lambda noise: self.solver.integrate(velocity, noise, num_steps))(z_0[:, None])[:, 0]
        return self.scale.to_return(unit)

    def bellman_step(self, example: Batch, next_cond: Float[Array, " cond"] | None = None) -> BellmanStep:
        """This network's view of one transition's backup, in the units of the flow; `next_cond` saves its inputs."""
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
