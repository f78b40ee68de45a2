"""The judge of critics on exact processes, against laws that are known and errors that are put in."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from evor_eqx.config import IMPROVERS
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnLaw
from evor_eqx.errors import UserError
from evor_eqx.presets import exact_preset
from evor_eqx.tabular import benchmark
from evor_eqx.tabular.processes import PROCESSES
from evor_eqx.tabular.solution import return_laws

LOTTERY = return_laws(PROCESSES["lottery"]())
RANGE = LOTTERY.range


class Table(AbstractCritic):
    """A critic that knows the exact laws, shifted by `shift` and with the acts' places exchanged if `swap`."""

    weights: jnp.ndarray
    shift: jnp.ndarray
    swap: jnp.ndarray

    def loss(self, target, example, *, key):
        raise NotImplementedError

    def law(self, obs, chunk, num_returns, num_steps):
        act = jnp.where(self.swap, 1 - (chunk[0] > 0), chunk[0] > 0).astype(int)
        weights = jnp.einsum("s,saz->az", obs, self.weights)[act]
        return ReturnLaw(jnp.asarray(LOTTERY.atoms, jnp.float32) + self.shift, weights)


def errors_of(shift=0.0, swap=False):
    table = Table(jnp.asarray(LOTTERY.weights, jnp.float32), jnp.asarray(shift), jnp.asarray(swap))
    stacked = eqx.filter_vmap(lambda _: table, axis_size=2)(jnp.zeros(2))
    errors = benchmark.Judge.of(LOTTERY)(stacked)
    assert all(value.shape == (2,) for value in errors.values())
    return {name: float(value[0]) for name, value in errors.items()}


def test_the_exact_laws_have_no_error():
    # Quantiles are read at 1000 levels: a level that falls on a step counts with a thousandth of the range.
    assert all(value < 2e-3 for value in errors_of().values())


def test_a_shift_is_an_error_of_its_own_size_and_no_regret():
    errors = errors_of(shift=0.3)
    for name in ("w1", "mean_error", "soft_error"):
        assert errors[name] == pytest.approx(0.3 / RANGE, abs=2e-3)
    assert errors["regret"] == 0.0


def test_exchanged_acts_cost_what_scipy_and_the_exact_values_say():
    errors = errors_of(swap=True)
    num_states = len(LOTTERY.mean)
    apart = [
        wasserstein_distance(LOTTERY.atoms, LOTTERY.atoms, LOTTERY.weights[state, 0], LOTTERY.weights[state, 1])
        for state in range(num_states)
    ]
    assert errors["w1"] == pytest.approx(np.mean(apart) / RANGE, abs=2e-3)
    soft = LOTTERY.soft_value(benchmark.TAU_R * RANGE)
    assert errors["regret"] == pytest.approx(np.abs(soft[:, 0] - soft[:, 1]).mean() / RANGE, abs=1e-4)


def test_a_judged_run_is_trained_once_and_records_every_seed(home):
    config = exact_preset("smoke")
    first = benchmark.ensure_judged("bandit", config.critic, 2)
    again = benchmark.ensure_judged("bandit", config.critic, 2)
    assert first.run == again.run and first.run.complete
    np.testing.assert_array_equal(first.law(0, 1).atoms, again.law(0, 1).atoms)
    metrics = first.run.metrics()
    num_rows = config.critic.train.num_updates // config.critic.train.log_every
    assert metrics["w1"].shape == metrics["loss"].shape == (num_rows, 2)
    measured = benchmark.Judge.of(first.exact)(first.critics)
    np.testing.assert_allclose(metrics["w1"][-1], measured["w1"], rtol=1e-5)
    assert not np.allclose(first.law(0, 1).atoms[0], first.law(0, 1).atoms[1])  # seeds differ


def test_an_unknown_process_is_refused_with_the_known_names(home):
    with pytest.raises(UserError, match=r"'coin': expected one of bandit, chain"):
        benchmark.ensure_judged("coin", exact_preset("smoke").critic)


@pytest.mark.parametrize("improves", [*({"kind": kind} for kind in IMPROVERS), {"next_draw": "best"}])
def test_a_critic_of_another_policy_than_the_base_policy_is_not_judged(home, improves):
    config, (got,) = replace(exact_preset("smoke").critic, **improves), improves.values()
    with pytest.raises(UserError, match=f"'{got}'.*: expected one of flow, scalar, .* laws are those of the base"):
        benchmark.ensure_judged("bandit", config)


def test_reading_a_finished_run_compiles_nothing(home, caplog):
    """A process can hold only so many compiled programs (the system's limit of memory maps); a study reads hundreds."""
    config = exact_preset("smoke").critic
    benchmark.ensure_judged("twins", config, 2)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        benchmark.ensure_judged("twins", config, 2)
    assert not [record for record in caplog.records if "compil" in record.getMessage().lower()]
