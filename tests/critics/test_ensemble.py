"""Ensembles of critics against their members, one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from critics.test_flow import KEY, critic_of, example_of


@pytest.mark.parametrize(("combine", "reduce"), [("mean", np.mean), ("min", np.min)])
def test_ensemble_combines_quantile_by_quantile(combine, reduce):
    ensemble = critic_of("bootstrap", num_members=3, combine=combine)
    members = [ensemble.member(index) for index in range(3)]
    atoms = [np.sort(member.distribution(jnp.ones(2), jnp.zeros(1), 8, 10).atoms) for member in members]
    assert np.ptp(atoms, axis=0).max() > 0.1  # the members differ
    distribution = ensemble.distribution(jnp.ones(2), jnp.zeros(1), 8, 10)
    np.testing.assert_allclose(distribution.atoms, reduce(atoms, axis=0), rtol=1e-4)
    np.testing.assert_allclose(distribution.weights, 1 / 8)


def test_ensemble_loss_is_its_members_mean():
    ensemble = critic_of("mc", num_members=2)
    loss, metrics = ensemble.loss(ensemble, example_of(), key=KEY)
    keys = jax.random.split(KEY, 2)
    members = [ensemble.member(index) for index in range(2)]
    alone = [m.loss(m, example_of(), key=k)[0] for m, k in zip(members, keys, strict=True)]
    np.testing.assert_allclose(loss, np.mean(alone), rtol=1e-5)
    assert all(jnp.shape(value) == () for value in metrics.values())
