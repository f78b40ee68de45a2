"""Distributions beside recorded returns: which rows count as known, and which are near, against naive loops."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from evor_eqx.config import FieldConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.envs.return_bounds import ReturnBounds
from evor_eqx.evaluation import held_out


def dataset(num_rows=200, ended_at=50):
    rng = np.random.default_rng(0)
    valids, masks = np.ones(num_rows), np.ones(num_rows)
    valids[-1], masks[ended_at] = 0, 0
    obs = rng.normal(size=(num_rows, 2)) * np.array([1.0, 100.0])
    arrays = {"observations": obs, "actions": rng.uniform(-1, 1, (num_rows, 1)), "valids": valids}
    return OfflineDataset.from_compact({**arrays, "rewards": -np.ones(num_rows), "masks": masks})


def test_nearest_rows_measure_in_standard_deviations():
    data, rows = dataset(), np.arange(10, 150)
    scaled = data.obs / data.obs.std(axis=0)
    distances = [np.linalg.norm(scaled[row] - scaled[3]) for row in rows]
    expected = rows[np.argsort(distances, kind="stable")[:5]]
    np.testing.assert_array_equal(held_out.nearest_rows(data, data.obs[3], rows, 5), expected)


def test_nearness_is_that_of_the_true_deviations_on_many_rows():
    """Sums in single precision would give the first entry several times its deviation, and let the second decide."""
    random, num = np.random.default_rng(0), 1_000_000
    obs = np.stack([100 + random.normal(size=num) * 1e-3, random.normal(size=num)], axis=1).astype(np.float32)
    obs[:2] = [[100, 1.5], [100.003, 0]]
    data = OfflineDataset(obs, obs, obs[:, 0], obs[:, 0], np.full(num, num - 1))
    nearest = held_out.nearest_rows(data, np.array([100, 0], np.float32), np.array([0, 1]), 1)
    assert nearest.tolist() == [0]  # 1.5 deviations away, the other 3


def test_distributions_at_rows_are_the_critics_own_and_mix_with_equal_shares():
    data = dataset()
    critic = make_critic(FlowConfig(network=FieldConfig(16, 1, head_width=8)), 2, 1, key=jax.random.key(0))
    rows = np.array([4, 9])
    distributions = held_out.distributions_at_rows(critic, data, rows, num_returns=8)
    for index, row in enumerate(rows):
        np.testing.assert_allclose(
            distributions.atoms[index],
            critic.distribution(jnp.asarray(data.obs[row]), jnp.asarray(data.act[row]), 8, 10).atoms,
            rtol=1e-4,
        )
    atoms, weights = held_out.mixture(distributions)
    assert atoms.shape == weights.shape == (16,)
    np.testing.assert_allclose(weights, 1 / 16)


class Spread(AbstractCritic):
    """A critic whose distribution depends on the first coordinate of the state in a known way."""

    def loss(self, target, example, *, key):
        raise NotImplementedError

    def distribution(self, obs, chunk, num_returns, num_steps):
        return ReturnDistribution.of_equal_weights(obs[0] + jnp.linspace(-20.0, 0.0, num_returns))


def test_held_out_measures_are_those_of_scipy_and_of_naive_loops():
    data, gamma = dataset(), 0.95
    rows = held_out.known_rows(data, gamma, 0.05)
    errors = held_out.HeldOut.of(data, gamma)(Spread(), 32)

    returns = data.mc_returns(gamma)[0][rows]
    atoms = data.obs[rows, :1] + np.linspace(-20.0, 0.0, 32)
    # The pooled quantiles are read at as many levels as there are rows: half a step of 30 / 140 at most.
    assert float(errors["held_out_w1"]) == pytest.approx(wasserstein_distance(atoms.ravel(), returns), abs=0.1)
    assert float(errors["held_out_error"]) == pytest.approx((atoms.mean(axis=1) - returns).mean(), abs=1e-4)
    naive = [
        np.abs(a - z).mean() - 0.5 * np.abs(a[:, None] - a[None, :]).mean() for a, z in zip(atoms, returns, strict=True)
    ]
    assert float(errors["held_out_crps"]) == pytest.approx(np.mean(naive), rel=1e-4)
    levels = np.array([(a < z).mean() for a, z in zip(atoms, returns, strict=True)])
    assert float(errors["held_out_coverage"]) == pytest.approx(np.mean(np.abs(levels - 0.5) <= 0.45), abs=1e-6)


def completed(rows, returns):
    """The held-out rows as if these had been their complete returns."""
    returns = jnp.asarray(returns, jnp.float32)
    return eqx.tree_at(lambda each: (each.returns, each.low, each.high), rows, (returns, returns, returns))


def test_every_completion_of_the_returns_scores_between_the_bounds_and_single_rows_reach_them():
    random, gamma = np.random.default_rng(0), 0.95
    rows = held_out.HeldOut.of(dataset(), gamma, num_rows=24, bounds=ReturnBounds(-100.0, 200.0))  # wide: 15 at most
    low, high = np.asarray(rows.low), np.asarray(rows.high)
    bounds = {name: [float(end) for end in ends] for name, ends in rows.bounds(Spread(), 16).items()}
    recorded = rows(Spread(), 16)
    assert 0 < rows.num_cut < len(low) and float(recorded["held_out_unknown"]) == pytest.approx(np.mean(high - low))
    for _ in range(50):
        share = random.choice([0.0, 0.5, 1.0], len(low)) if random.random() < 0.5 else random.random(len(low))
        errors = completed(rows, low + share * (high - low))(Spread(), 16)
        for name, (least, most) in bounds.items():
            assert least - 1e-4 <= float(errors[name]) <= most + 1e-4, name
        for name in ("held_out_w1", "held_out_crps", "held_out_error"):
            assert abs(float(errors[name] - recorded[name])) <= float(recorded["held_out_unknown"]) + 1e-4
    # One row alone: by trying many returns between its ends.
    (index,) = np.flatnonzero(low == low[np.argmax(high - low)])[:1]
    one = jax.tree.map(lambda leaf: leaf[index : index + 1], rows)
    tried = [completed(one, [z])(Spread(), 16) for z in np.linspace(low[index], high[index], 61)]
    for name, (least, most) in one.bounds(Spread(), 16).items():
        found = [float(errors[name]) for errors in tried]
        assert (min(found), max(found)) == pytest.approx((float(least), float(most)), abs=0.3), name


def test_bounds_of_complete_returns_are_the_scores():
    rows = held_out.HeldOut.of(dataset(), 0.95)
    rows = completed(rows, rows.returns)
    errors = rows(Spread(), 16)
    for name, (least, most) in rows.bounds(Spread(), 16).items():
        assert float(least) == pytest.approx(float(errors[name]), rel=1e-5) == pytest.approx(float(most), rel=1e-5)
    assert rows.num_cut == 0 and float(errors["held_out_unknown"]) == 0


def test_held_out_rows_are_thinned_evenly_and_may_be_none():
    rows = held_out.HeldOut.of(dataset(), 0.95, chunk_length=5, num_rows=20)
    assert rows.chunks.shape[1] == 5 and 10 < len(rows.returns) <= 20
    assert held_out.HeldOut.of(dataset(num_rows=30, ended_at=20), 0.99)(Spread()) == {}


def episodes(*lengths):
    """Episodes of these numbers of rows, a reward of -1 each step, the row's number as the observation."""
    valids = np.concatenate([np.r_[np.ones(length - 1), 0] for length in lengths])
    rows = np.arange(len(valids), dtype=np.float32)[:, None]
    arrays = {"observations": rows, "actions": rows / 1000, "valids": valids, "masks": np.ones(len(valids))}
    return OfflineDataset.from_compact({**arrays, "rewards": -np.ones(len(valids))})


def test_probes_are_early_middle_and_late_among_the_known_rows_of_one_episode():
    data, gamma = episodes(100, 150, 120), 0.9
    probes = held_out.Probes.of(data, gamma, chunk_length=5, num_nearby=4)
    # 0.9^k <= 0.05 from k = 29 on: the second episode's rows 100 to 249 are known up to 249 - 29 = 220.
    np.testing.assert_array_equal(probes.obs[:, 0], [100, 160, 220])
    np.testing.assert_allclose(probes.chunks[1], np.arange(160, 165) / 1000)
    returns = data.mc_returns(gamma)[0]
    assert probes.recorded[1].recorded.tolist() == returns[[160, 159, 161, 158]].tolist()
    assert probes.recorded[1].num_cut == 4
    np.testing.assert_allclose(probes.recorded[1].low, -10, rtol=1e-6)  # a reward of -1 for ever
    known = held_out.known_rows(data, gamma, 0.05)
    assert probes.limits == (returns[known].min(), returns[known].max())
    distribution = probes.distributions(Spread(), 8)
    np.testing.assert_allclose(distribution.atoms[2], 220 + np.linspace(-20, 0, 8), rtol=1e-6)


def test_probes_of_episodes_too_short_to_know_a_return_have_nothing_recorded():
    probes = held_out.Probes.of(episodes(20, 20), 0.99, chunk_length=2)
    assert probes.obs[:, 0].tolist() == [20, 29, 37] and [returns.num for returns in probes.recorded] == [0, 0, 0]
