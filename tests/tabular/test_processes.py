"""Finite processes and their sampler against naive loops, exact means and exact distributions."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from evor_eqx.distributions import wasserstein_1
from evor_eqx.errors import UserError
from evor_eqx.tabular.processes import PROCESSES, Process, horizon, tabulate
from evor_eqx.tabular.solution import return_distributions
from evor_eqx.training.sampling import Sampler

KEY = jax.random.key(0)


def line() -> Process:
    """Four states in a row, no chance; the reward 10^state says where a step was made, act 1 adds half of it."""
    return tabulate(
        "line",
        0.5,
        lambda state, act: [(1.0, 10.0**state * (1 + act / 2), float(state < 3), min(state + 1, 3))],
        np.tile([0.0, 1.0], (4, 1)),
        np.array([[-1.0], [1.0]]),
    )


@eqx.filter_jit
def draw_at(sampler, state, act, num):
    return jax.vmap(lambda key: sampler.at(state, act, key=key))(jax.random.split(KEY, num))


@eqx.filter_jit
def draw(sampler, num):
    return sampler.sample(num, key=KEY)


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_has_its_name_and_one_hot_observations(name):
    process = PROCESSES[name]()
    assert process.name == name
    np.testing.assert_array_equal(process.obs, np.eye(len(process.base_policy)))
    assert len(np.unique(process.acts, axis=0)) == process.base_policy.shape[1], "networks could not tell acts apart"


def test_horizon_is_the_first_step_at_which_gamma_is_small_enough():
    assert horizon(0.0, 0.5) == 1
    for gamma in (0.3, 0.9, 0.99):
        n = horizon(gamma, 1e-4)
        assert gamma**n <= 1e-4 < gamma ** (n - 1)


@pytest.mark.parametrize("num_steps", [1, 3])
def test_windows_of_a_sure_process_are_those_of_a_naive_loop(num_steps):
    process = line()
    starts = np.array(list(np.ndindex(4, 2)))
    batch = eqx.filter_jit(jax.vmap(lambda s, a: process.sampler(num_steps).at(s, a, key=KEY)))(*jnp.asarray(starts.T))
    for i, (start, act) in enumerate(starts):
        reward, mask, state = 0.0, 1.0, start
        rewards = [10.0 ** (start + k) * (1 + (act if k == 0 else 1) / 2) for k in range(4 - start)]
        for k in range(num_steps):
            if mask:
                reward += 0.5**k * rewards[k]
                mask, state = float(state < 3), min(state + 1, 3)
        mc_return = sum(0.5**k * r for k, r in enumerate(rewards))
        got = [batch.reward[i], batch.mask[i], batch.discount[i], batch.mc_return[i]]
        np.testing.assert_allclose(got, [reward, mask, 0.5**num_steps, mc_return], rtol=1e-6)
        assert np.argmax(batch.obs[i]) == start and np.argmax(batch.next_obs[i]) == state
        assert batch.chunk[i] == process.acts[act] and batch.next_chunk[i] == 1.0 and batch.valid[i]


def test_batches_have_uniform_states_and_acts_of_the_base_policy():
    sampler = PROCESSES["gridworld"]().sampler()
    assert isinstance(sampler, Sampler)
    batch = draw(sampler, 20_000)
    assert batch.reward.shape == (20_000,) and batch.chunk.shape == (20_000, 2) and batch.valid.all()
    # Four standard errors of a frequency.
    np.testing.assert_allclose(batch.obs.mean(axis=0), 1 / 16, atol=4 * np.sqrt(1 / 16 / 20_000))
    for chunk in (batch.chunk, batch.next_chunk):
        frequency = [np.mean((chunk == vector).all(axis=1)) for vector in sampler.acts]
        np.testing.assert_allclose(frequency, [0.15, 0.35, 0.35, 0.15], atol=4 * np.sqrt(0.25 / 20_000))


@pytest.mark.parametrize(("name", "num_steps"), [("chain", 1), ("lottery", 3)])
def test_bellman_targets_with_the_exact_means_average_to_the_exact_means(name, num_steps):
    process = PROCESSES[name]()
    mean = return_distributions(process, spacing=0.01).mean
    batch = draw(process.sampler(num_steps), 30_000)
    state, next_state = np.argmax(batch.obs, axis=1), np.argmax(batch.next_obs, axis=1)
    act, next_act = (np.argmin(np.abs(chunk - process.acts[:, 0]), axis=1) for chunk in (batch.chunk, batch.next_chunk))
    surprise = batch.reward + batch.discount * batch.mask * mean[next_state, next_act] - mean[state, act]
    for index in np.ndindex(mean.shape):
        chosen = np.asarray(surprise)[(state == index[0]) & (act == index[1])]
        assert len(chosen) > 1000
        # Four standard errors, and float32's rounding where there is no chance left.
        assert abs(chosen.mean()) < 4 * chosen.std() / np.sqrt(len(chosen)) + 1e-5


@pytest.mark.parametrize(("name", "state", "act"), [("chain", 1, 0), ("lottery", 2, 1), ("uniform", 0, 0)])
def test_monte_carlo_returns_have_the_exact_distribution(name, state, act):
    process, num = PROCESSES[name](), 4000
    distributions = return_distributions(process)
    batch = draw_at(process.sampler(2), jnp.asarray(state), jnp.asarray(act), num)
    cdf = distributions.cdf(distributions.atoms)[state, act]
    # E W_1 of an empirical distribution is at most the area under sqrt(F (1 - F) / num); three times that is far in the
    # tail.
    noise = np.sum(np.sqrt(np.clip(cdf * (1 - cdf), 0, None) / num)) * (distributions.atoms[1] - distributions.atoms[0])
    rollout_end = 1e-4 * distributions.range
    distance = wasserstein_1(*distributions.distribution(state, act), np.asarray(batch.mc_return))
    assert distance < 3 * noise + distributions.error + rollout_end


TWINS = PROCESSES["twins"]()


@pytest.mark.parametrize(
    "change",
    [
        {"gamma": 1.0},
        {"gamma": -0.1},
        {"prob": TWINS.prob * 0.9},
        {"prob": np.concatenate([TWINS.prob[..., :1] + 1, TWINS.prob[..., 1:] - 1], axis=-1)},
        {"base_policy": np.full((4, 1), 0.5)},
        {"reward": TWINS.reward + np.inf},
        {"mask": TWINS.mask / 2},
        {"next_state": TWINS.next_state + 3},
        {"acts": np.full((1, 1), 1.5)},
    ],
)
def test_a_table_that_is_no_process_is_a_user_error(change):
    with pytest.raises(UserError, match="expected"):
        dataclasses.replace(TWINS, **change)


@pytest.mark.parametrize(
    "change",
    [{"base_policy": np.ones((4, 2))}, {"reward": TWINS.reward[:2]}, {"acts": np.zeros(1)}, {"prob": np.ones((4, 2))}],
)
def test_tables_that_do_not_fit_together_are_a_user_error(change):
    jaxtyping.config.update("jaxtyping_disable", True)  # as outside the tests, where annotations are not checked
    try:
        with pytest.raises(UserError, match="shapes: got"):
            dataclasses.replace(TWINS, **change)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def test_a_window_of_no_steps_is_a_user_error():
    with pytest.raises(UserError, match="num_steps: got 0, expected at least 1"):
        TWINS.sampler(0)
