"""The implicit quantile critic: its embedding and its distribution level by level, and what a level costs."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from critics.examples import KEY, SCALE, critic_of, example_of

from evor_eqx.critics import iqn
from evor_eqx.critics.iqn import NUM_COSINES, NUM_LEVELS, LevelNetwork


def test_embedding_is_a_layer_on_the_cosines_of_the_level():
    network = LevelNetwork(3, 16, 2, True, key=KEY)
    weight, bias = np.asarray(network.embedding.weight), np.asarray(network.embedding.bias)
    for level in (0.1, 0.77):
        cosines = [np.cos(np.pi * index * level) for index in range(NUM_COSINES)]
        expected = np.maximum(weight @ cosines + bias, 0)
        np.testing.assert_allclose(network.embed(jnp.asarray(level)), expected, atol=1e-5)


def test_distribution_holds_the_quantiles_at_the_mid_levels_one_by_one():
    critic, obs, chunk = critic_of("iqn"), jnp.ones(2), jnp.zeros(1)
    distribution = critic.distribution(obs, chunk, 5, 10)
    for index, level in enumerate([0.1, 0.3, 0.5, 0.7, 0.9]):
        alone = SCALE.to_return(critic.predict(obs, chunk, jnp.array([level])))
        np.testing.assert_allclose(distribution.atoms[index], alone[0], rtol=1e-5)
    assert len(np.unique(distribution.atoms)) == 5  # the level matters


def test_one_more_level_costs_less_than_encoding_again():
    width, depth, cond_size = 64, 4, 8
    network = LevelNetwork(cond_size, width, depth, True, key=KEY)

    def flops(num):
        jitted = jax.jit(lambda cond, levels: network(cond, levels))
        compiled = jitted.lower(jnp.zeros(cond_size), jnp.zeros(num)).compile()
        return compiled.cost_analysis()["flops"]

    encoder = 2 * (cond_size * width + (depth - 1) * width**2)  # of its matrix products
    assert (flops(17) - flops(1)) / 16 < 0.75 * encoder


def test_prediction_and_target_have_levels_of_their_own(monkeypatch):
    """Where both networks, both states and both returns are the same, equal levels would give equal quantiles."""
    seen = []
    monkeypatch.setattr(iqn, "quantile_huber_loss", lambda *args: seen.append(args) or jnp.zeros(()))
    critic, example = critic_of("iqn"), example_of(reward=0.0)
    same = (example.obs, example.chunk, jnp.asarray(1.0))
    example = eqx.tree_at(lambda e: (e.next_obs, e.next_chunk, e.discount), example, same)
    for key in jax.random.split(KEY):
        critic.loss(critic, example, key=key)
    for predicted, levels, targets, _ in seen:
        np.testing.assert_allclose(predicted, critic.predict(example.obs, example.chunk, levels), atol=1e-6)
        assert len(np.unique([*predicted, *targets])) == 2 * NUM_LEVELS
    assert (seen[0][1] != seen[1][1]).all()  # another key, other levels
