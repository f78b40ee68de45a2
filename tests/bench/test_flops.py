"""Counted operations against counts by hand."""

import jax
import jax.numpy as jnp
import pytest

from evor_eqx.bench import flops
from evor_eqx.config import FieldConfig, PolicyConfig, TrainConfig
from evor_eqx.nn import flow_matching
from evor_eqx.policy import make_policy
from evor_eqx.training.update import init_state, update
from evor_eqx.types import Batch

W = jnp.ones((3, 4))


def test_a_product_costs_two_operations_per_multiply_add():
    assert flops.count(lambda x: x @ W, jnp.ones((5, 3))) == 2 * 5 * 3 * 4
    assert flops.count(jax.vmap(lambda x: x @ W), jnp.ones((5, 3))) == 2 * 5 * 3 * 4


def test_loops_count_with_their_turns_and_branches_with_the_dearest():
    def looped(x):
        return flow_matching.euler(lambda z, t: (z @ W) @ W.T, x, 7)

    def branched(x):
        return jax.lax.cond(x[0] > 0, lambda z: z @ W, lambda z: (z @ W) @ W.T @ W, x)

    assert flops.count(looped, jnp.ones(3)) == 7 * 2 * 2 * 12
    assert flops.count(branched, jnp.ones(3)) == 3 * 2 * 12


def test_a_loop_of_unknown_length_is_refused():
    with pytest.raises(ValueError, match="Python integer"):
        flops.count(lambda x, n: flow_matching.euler(lambda z, t: (z @ W) @ W.T, x, n), jnp.ones(3), jnp.array(7))


def test_an_update_costs_three_passes_less_the_gradient_of_its_inputs():
    """Forward, gradient of the weights, gradient of the activations (not needed for the first layer's input)."""
    policy = make_policy(PolicyConfig(network=FieldConfig(width=16, depth=2)), 4, 2, key=jax.random.key(0))
    batch = Batch(*(jnp.ones((8, size)) if size else jnp.ones(8) for size in (4, 2, 0, 0, 0)), jnp.ones(8, bool),
                  jnp.ones((8, 4)), jnp.ones((8, 2)), jnp.ones(8))  # fmt: skip
    config = TrainConfig()

    state = init_state(policy, config)
    first, rest = 7 * 16, 16 * 16 + 16 * 2
    counted = flops.count(update, state, batch, config, key=jax.random.key(1))
    assert counted == 8 * 2 * (2 * first + 3 * rest)
