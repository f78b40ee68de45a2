"""Endless batches of a finite process, drawn inside a compiled update."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.distributions import at_level
from evor_eqx.types import Batch, Choose


class ProcessSampler(eqx.Module):
    """Endless on-policy batches of a process, drawn inside a compiled update; see `Process.sampler`."""

    obs: Float[Array, "states obs"]
    acts: Float[Array, "acts act_size"]
    base_policy: Float[Array, "states acts"]
    prob: Float[Array, "states acts outcomes"]
    reward: Float[Array, "states acts outcomes"]
    mask: Float[Array, "states acts outcomes"]
    gamma: Float[Array, ""]
    next_state: Int[Array, "states acts outcomes"]
    num_steps: int = eqx.field(static=True)
    num_rollout_steps: int = eqx.field(static=True)  # gamma to this power is below 1e-4
    num_draws: int = eqx.field(static=True, default=0)  # of the base policy at the next state, if backups choose
    choose: Choose | None = eqx.field(static=True, default=None)

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch:
        """A batch with states uniform over all states and acts from the base policy."""
        state_key, act_key, path_key = jax.random.split(key, 3)
        state = jax.random.randint(state_key, (batch_size,), 0, len(self.obs))
        act = jax.vmap(at_level)(self.base_policy[state], jax.random.uniform(act_key, (batch_size,)))
        return jax.vmap(lambda s, a, k: self.at(s, a, key=k))(state, act, jax.random.split(path_key, batch_size))

    def at(self, state: Int[Array, ""], act: Int[Array, ""], *, key: PRNGKeyArray) -> Batch:
        """One example that starts with `act` at `state`.

        `discount` is gamma^n also where the task ended sooner (`mask` is 0 there, and `next_obs` the state it ended
        in). `next_chunk` is a fresh act of the base policy; `mc_return` follows the window's own path further. If
        backups choose, `next_draws` are the acts that they choose among.
        """
        path_key, next_key, rest_key = jax.random.split(key, 3)
        reward, mask, next_state, path_act = self._walk(state, act, self.num_steps, key=path_key)
        rest, *_ = self._walk(next_state, path_act, self.num_rollout_steps, key=rest_key)
        discount = self.gamma**self.num_steps
        return Batch(
            obs=self.obs[state],
            chunk=self.acts[act],
            reward=reward,
            discount=discount,
            mask=mask,
            valid=jnp.asarray(True),
            next_obs=self.obs[next_state],
            next_chunk=self._draws(next_state, (), key=next_key),
            mc_return=reward + discount * mask * rest,
            next_draws=self._draws(next_state, (self.num_draws,), key=next_key) if self.choose else None,
            choose=self.choose,
        )

    def _draws(self, state, shape, *, key):
        """Acts of the base policy at a state."""
        levels = jax.random.uniform(key, shape)
        return self.acts[jnp.vectorize(lambda level: at_level(self.base_policy[state], level))(levels)]

    def _walk(self, state, act, num_steps, *, key):
        """Discounted reward of a walk, its mask, and the (state, act) it has reached; it stays where the task ended."""

        def step(carry, levels):
            state, act, mask = carry
            index = (state, act, at_level(self.prob[state, act], levels[0]))
            reward, mask = mask * self.reward[index], mask * self.mask[index]
            state = jnp.where(mask > 0, self.next_state[index], state)
            return (state, at_level(self.base_policy[state], levels[1]), mask), reward

        levels = jax.random.uniform(key, (num_steps, 2))
        (state, act, mask), rewards = jax.lax.scan(step, (state, act, jnp.ones(())), levels)
        return rewards @ self.gamma ** jnp.arange(num_steps), mask, state, act
