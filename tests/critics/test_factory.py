"""Critics are made from their configuration, with and without the statistics of data."""

import jax.numpy as jnp
import numpy as np
import pytest
from critics.examples import KEY, critic_of
from critics.test_flow import chain

from evor_eqx.config import TrainConfig
from evor_eqx.critics.base import ReturnScale
from evor_eqx.critics.flow import FlowCritic
from evor_eqx.critics.registry import critic_names
from evor_eqx.training import loop


def test_every_registered_kind_is_made_and_each_is_a_class_of_its_own():
    made = {kind: type(critic_of(kind)) for kind in critic_names()}
    assert len(set(made.values())) == len(made)
    assert made["flow"] is FlowCritic


@pytest.mark.parametrize("kind", ["flow", "scalar", "gaussian", "qr_dqn"])
def test_a_critic_without_a_scale_learns_as_one_whose_bounds_are_out_of_reach(kind):
    far, config = ReturnScale(*map(jnp.asarray, (0.0, 1.0, -1e6, 1e6))), TrainConfig(num_updates=3, batch_size=8)
    trained = [
        loop.fit(critic_of(kind, scale=scale), chain(10), chain(10), config, loop.Memory(), key=KEY)
        for scale in (None, far)
    ]
    distributions = [critic.distribution(jnp.array([1.0, 0.0]), jnp.zeros(1), 8, 4) for critic in trained]
    np.testing.assert_array_equal(distributions[0].atoms, distributions[1].atoms)
