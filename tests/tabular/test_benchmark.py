"""Critics measured on processes with known answers: errors that are put in, and critics that are trained."""

from dataclasses import replace
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from evor_eqx.config import Config, TabularConfig, TrainConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.registry import critic_config, critic_names
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.errors import UserError
from evor_eqx.presets import preset, tabular_preset
from evor_eqx.tabular import benchmark
from evor_eqx.tabular.processes import PROCESSES
from evor_eqx.tabular.solution import return_distributions

LOTTERY = return_distributions(PROCESSES["lottery"]())
RANGE = LOTTERY.range


class Table(AbstractCritic):
    """A critic that knows the exact distributions, shifted by `shift` and with the acts' places exchanged if `swap`."""

    weights: jnp.ndarray
    shift: jnp.ndarray
    swap: jnp.ndarray

    def loss(self, target, example, *, key):
        raise NotImplementedError

    def distribution(self, obs, chunk, num_returns, num_steps):
        act = jnp.where(self.swap, 1 - (chunk[0] > 0), chunk[0] > 0).astype(int)
        weights = jnp.einsum("s,saz->az", obs, self.weights)[act]
        return ReturnDistribution(jnp.asarray(LOTTERY.atoms, jnp.float32) + self.shift, weights)


def errors_of(shift=0.0, swap=False):
    table = Table(jnp.asarray(LOTTERY.weights, jnp.float32), jnp.asarray(shift), jnp.asarray(swap))
    stacked = eqx.filter_vmap(lambda _: table, axis_size=2)(jnp.zeros(2))
    errors = benchmark.ExactAnswers.of(LOTTERY)(stacked)
    assert all(value.shape == (2,) for value in errors.values())
    return {name: float(value[0]) for name, value in errors.items()}


def test_the_exact_distributions_have_no_error():
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


def test_tabular_critics_are_trained_once_and_records_every_seed(home):
    config = tabular_preset("smoke")
    first = benchmark.ensure_tabular_critics("bandit", config.critic, 2)
    again = benchmark.ensure_tabular_critics("bandit", config.critic, 2)
    assert first.run == again.run and first.run.complete
    np.testing.assert_array_equal(first.distribution(0, 1).atoms, again.distribution(0, 1).atoms)
    metrics = first.run.metrics()
    num_rows = config.critic.train.num_updates // config.critic.train.log_every
    assert metrics["w1"].shape == metrics["loss"].shape == (num_rows, 2)
    measured = benchmark.ExactAnswers.of(first.exact)(first.critics)
    np.testing.assert_allclose(metrics["w1"][-1], measured["w1"], rtol=1e-5)
    assert not np.allclose(first.distribution(0, 1).atoms[0], first.distribution(0, 1).atoms[1])  # seeds differ


def test_an_unknown_process_is_refused_with_the_known_names(home):
    with pytest.raises(UserError, match=r"'coin': expected one of bandit, chain"):
        benchmark.ensure_tabular_critics("coin", tabular_preset("smoke").critic)


IMPROVERS = [name for name in critic_names() if critic_config(name).is_improver]


@pytest.mark.parametrize(("critic", "fields"), [*((name, {}) for name in IMPROVERS), ("flow", {"next_draw": "best"})])
def test_a_critic_of_another_policy_than_the_base_policy_is_refused(home, critic, fields):
    config = tabular_preset("smoke", critic=critic, **fields).critic
    if config.is_improver:
        with pytest.raises(UserError, match=f"the critic {critic}: expected one that learns the return distribution"):
            benchmark.ensure_tabular_critics("bandit", config)
    with pytest.raises(UserError, match=f"the critic {critic}: expected|next_draw is best: expected any"):
        benchmark.tabular_benchmark(preset("smoke", critic=critic, **fields), processes=["bandit"])


def test_reading_a_finished_run_compiles_nothing(home, caplog):
    """A process can hold only so many compiled programs (the system's limit of memory maps); a study reads hundreds."""
    config = tabular_preset("smoke").critic
    benchmark.ensure_tabular_critics("twins", config, 2)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        benchmark.ensure_tabular_critics("twins", config, 2)
    assert not [record for record in caplog.records if "compil" in record.getMessage().lower()]


TRAIN = TrainConfig(num_updates=20, batch_size=16, log_every=10, checkpoint_every=20)


@pytest.fixture
def short(home, monkeypatch):
    """A tabular preset of seconds; what is trained is noted as (process, configuration, seeds)."""
    trained, ensure = [], benchmark.ensure_tabular_critics

    def tabular(name, *, critic):
        config = tabular_preset(name, critic=critic)
        return TabularConfig(replace(config.critic, train=TRAIN), config.num_seeds)

    def noted(name, config, num_seeds):
        trained.append((name, config, num_seeds))
        return ensure(name, config, num_seeds)

    monkeypatch.setattr(benchmark, "tabular_preset", tabular)
    monkeypatch.setattr(benchmark, "ensure_tabular_critics", noted)
    return trained


def test_the_benchmark_has_a_row_for_each_process_with_intervals_in_order(short):
    rows = benchmark.tabular_benchmark(preset("smoke"), num_seeds=3, processes=["twins", "bandit"])
    assert [row.process for row in rows] == ["twins", "bandit"]
    for row in rows:
        for interval in (row.w1, row.mean_error, row.soft_error):
            assert 0 <= interval.low <= interval.estimate <= interval.high
        assert 0 < row.w1.low < row.w1.high  # three seeds
        text = str(row)
        assert text.startswith(f"{row.process}: w1 {100 * row.w1.estimate:.2f} %, mean_error ")
        assert f"{100 * row.w1.low:.2f} to {100 * row.w1.high:.2f} %" in text


def test_the_numbers_of_a_row_are_those_of_the_critics_at_their_end(short):
    (row,) = benchmark.tabular_benchmark(preset("smoke"), processes=["bandit"])
    ((name, config, num_seeds),) = short
    assert num_seeds == tabular_preset("smoke").num_seeds
    found = benchmark.ensure_tabular_critics(name, config, num_seeds)
    errors = benchmark.ExactAnswers.of(found.exact)(found.critics)
    for name in ("w1", "mean_error", "soft_error"):
        assert getattr(row, name).estimate == pytest.approx(float(np.mean(errors[name])), rel=1e-4)


@pytest.mark.parametrize(
    ("critic", "fields"), [("flow", {"target": "coupled", "control_variate": 0.5}), ("qr_dqn", {"num_atoms": 5})]
)
def test_the_critics_own_fields_are_taken_and_the_rest_is_that_of_the_tabular_preset(short, critic, fields):
    config = preset("smoke", critic=critic, num_members=2, seed=9, **fields)
    assert isinstance(config, Config)
    benchmark.tabular_benchmark(config, num_seeds=1, processes=["bandit"])
    ((_, taken, _),) = short
    expected = replace(tabular_preset("smoke", critic=critic).critic, train=TRAIN)
    solver = {"solver": config.critic.solver} if critic == "flow" else {}
    assert taken == replace(expected, **fields, **solver)
    assert (taken.n_step, taken.num_members, taken.seed) == (1, 1, 0)


def test_without_names_all_processes_are_taken(home, monkeypatch):
    taken = []
    metrics = {name: np.array([[0.2, 0.1], [0.1, 0.3]]) for name in ("w1", "mean_error", "soft_error")}
    run = SimpleNamespace(metrics=lambda: metrics)
    monkeypatch.setattr(
        benchmark, "ensure_tabular_critics", lambda name, *_: taken.append(name) or SimpleNamespace(run=run)
    )
    rows = benchmark.tabular_benchmark(preset("laptop"))
    assert taken == [row.process for row in rows] == list(PROCESSES)
    assert all(row.w1.estimate == pytest.approx(0.2) for row in rows)  # of the last row of the metrics
