"""Critics on processes with known answers: several seeds trained side by side, and their errors as they learn.

All critics have the same data, budget and optimiser. Errors are shares of the range of a process's returns, so that
processes can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evor_eqx import distributions
from evor_eqx.config import Config, CriticConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.next_draw import draw_choice
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.errors import UserError
from evor_eqx.evaluation.statistics import Interval, bootstrap_interval
from evor_eqx.presets import tabular_preset
from evor_eqx.runs.records import to_record
from evor_eqx.runs.run import Run
from evor_eqx.system.locks import lock
from evor_eqx.tabular.improvement import check_known_exactly, learned_distributions
from evor_eqx.tabular.processes import PROCESSES
from evor_eqx.tabular.solution import ExactDistributions, return_scale
from evor_eqx.training.compilation import initialised
from evor_eqx.training.fit import fit_in_run, moving_average
from evor_eqx.training.update import init_states

NUM_LEVELS = 1000  # quantile levels at which distributions are compared: a thousandth of the range per jump
TAU_R = 0.2  # temperature of the soft value that is compared, as a share of the range


@dataclass(frozen=True)
class TabularCritics:
    """Critics of one kind that were trained on one process, one critic per seed; their arrays are stacked."""

    exact: ExactDistributions
    critics: AbstractCritic
    run: Run

    def distribution(self, state: int, act: int, num_returns: int = 256, num_steps: int = 10) -> ReturnDistribution:
        """The return distributions that the seeds learned at one (state, act); atoms and weights are [seeds, atoms]."""
        process = self.exact.process
        obs, chunk = (jnp.asarray(table, jnp.float32) for table in (process.obs[state], process.acts[act]))
        return _distributions(self.critics, obs, chunk, num_returns, num_steps)


class ExactAnswers(eqx.Module):
    """The exact answers of a process at all its (state, act) pairs, on the device, to compare critics with."""

    obs: Float[Array, "pairs obs"]
    chunks: Float[Array, "pairs chunk"]
    quantiles: Float[Array, "pairs levels"]
    mean: Float[Array, " pairs"]
    soft_value: Float[Array, " pairs"]
    range: Float[Array, ""]
    num_acts: int = eqx.field(static=True)

    @classmethod
    def of(cls, exact: ExactDistributions) -> "ExactAnswers":
        """The answers of a process whose return distributions are known."""
        process = exact.process
        num_states, num_acts = process.base_policy.shape
        pairs = [(state, act) for state in range(num_states) for act in range(num_acts)]
        tables = {
            "obs": process.obs[[state for state, _ in pairs]],
            "chunks": process.acts[[act for _, act in pairs]],
            "quantiles": np.stack([_mid_quantiles(*exact.distribution(*pair)) for pair in pairs]),
            "mean": exact.mean.ravel(),
            "soft_value": exact.soft_value(TAU_R * exact.range).ravel(),
            "range": exact.range,
        }
        return cls(num_acts=num_acts, **{name: jnp.asarray(table, jnp.float32) for name, table in tables.items()})

    @eqx.filter_jit
    def __call__(
        self, critics: AbstractCritic, num_returns: int = 256, num_steps: int | Int[Array, ""] = 10
    ) -> dict[str, Float[Array, " seeds"]]:
        """Errors of stacked critics.

        **Arguments:**

        - `critics`: one critic per seed, their arrays stacked.
        - `num_returns`, `num_steps`: atoms and steps in flow time at which they are read.

        **Returns:**

        Numbers per seed, each a share of the range, averaged over all pairs:

        - `w1`: W_1 to the exact distribution;
        - `mean_error`, `soft_error`: the absolute error of the mean, and of the soft value at `TAU_R`;
        - `regret`: what the act with the highest learned soft value loses in exact soft value.
        """
        return eqx.filter_vmap(lambda critic: self._errors(critic, num_returns, num_steps))(critics)

    def _errors(self, critic, num_returns, num_steps):
        distribution = jax.vmap(lambda obs, chunk: critic.distribution(obs, chunk, num_returns, num_steps))(
            self.obs, self.chunks
        )
        learned, exact = distributions.soft_value(distribution, TAU_R * self.range), self.soft_value
        errors = {
            "w1": distributions.quantile_distances(distribution, self.quantiles),
            "mean_error": jnp.abs(distributions.mean(distribution) - self.mean),
            "soft_error": jnp.abs(learned - exact),
            "regret": _given_away(exact.reshape(-1, self.num_acts), learned.reshape(-1, self.num_acts)),
        }
        return {name: jnp.mean(error) / self.range for name, error in errors.items()}


def ensure_tabular_critics(name: str, config: CriticConfig, num_seeds: int = 5) -> TabularCritics:
    """Critics of several seeds on one process: trained once, then read from their run folder.

    With `next_draw` best or soft, the exact answers are those of the policy that such backups evaluate.

    **Arguments:**

    - `name`: one of `tabular.processes.PROCESSES`.
    - `config`: the critic, with its training.
    - `num_seeds`: critics trained side by side.

    **Raises:**

    UserError for an unknown process, for a critic that improves on the base policy in a way of its own, and if backups
    choose among draws so that no policy comes to rest.
    """
    if name not in PROCESSES:
        raise UserError(f"unknown process {name!r}: expected one of {', '.join(PROCESSES)}")
    process, choose = PROCESSES[name](), draw_choice(config)
    exact = learned_distributions(process, config)
    keys = jax.random.split(jax.random.key(config.seed), (2, num_seeds))
    sizes = {"obs_size": len(process.prob), "chunk_size": process.acts.shape[1]}
    scale = return_scale(process, exact)

    def make(seeds):
        return eqx.filter_vmap(lambda key: make_critic(config, **sizes, key=key, scale=scale))(seeds)

    data = {"dataset": f"exact-{name}", "origin": "exact", "fingerprint": process.fingerprint}
    definition = {**data, "critic": to_record(config), "num_seeds": num_seeds, "seed": config.seed}
    run = Run.of(data["dataset"], f"critic-{config.label}", definition).open()
    if not run.complete:
        with lock(run.path):
            if not run.complete:
                sampler = process.sampler(config.n_step, config.num_bank_draws, choose)
                options = {"key": keys[1], "measure": ExactAnswers.of(exact)}
                fit_in_run(run, initialised(make, keys[0]), (sampler, sampler), config.train, {}, **options)
    state = moving_average(run, lambda: init_states(make(keys[0]), config.train))
    return TabularCritics(exact, state, run)


class TabularRow(NamedTuple):
    """How far critics are from the exact answers of one process.

    Each number is a mean over all (state, action) pairs, as a share of the range of the process's returns. It has the
    fields `estimate`, `low` and `high`, an interval over seeds.

    - `process`: the name.
    - `w1`: W_1 to the exact return distribution.
    - `mean_error`: the absolute error of the mean.
    - `soft_error`: the absolute error of the soft value at tau_R = 0.2 of the range.
    """

    process: str
    w1: Interval
    mean_error: Interval
    soft_error: Interval

    def __str__(self) -> str:
        """One line, in percent of the range."""
        names = ("w1", "mean_error", "soft_error")
        cells = [f"{name} {100 * getattr(self, name).estimate:.2f} %" for name in names]
        return f"{self.process}: {', '.join(cells)} (W_1 {100 * self.w1.low:.2f} to {100 * self.w1.high:.2f} %)"


def tabular_benchmark(
    config: Config, *, num_seeds: int | None = None, processes: Sequence[str] = ()
) -> list[TabularRow]:
    """Train a critic on small processes whose return distributions are known exactly, and measure its errors.

    What is trained lands in run folders, and is found there again.

    **Arguments:**

    - `config`: an experiment, for two things. `config.critic` says which critic is trained, with the settings that only
      this critic has. `config.preset` says how large and how long: with it, network, training and rewards per backup
      come from this benchmark's own presets, not from `config.critic`.
    - `num_seeds`: critics trained side by side on each process; 2 at `smoke` and 5 else, if not given.
    - `processes`: some of bandit, chain, uniform, cantor, gridworld, twins, corridor and lottery; all if not given.

    **Returns:**

    A row for each process. `w1`, `mean_error` and `soft_error` are the errors of the distribution, of its mean and of
    its soft value (at tau_R = 0.2 of the range). Each is a share of the range of the returns, with the fields
    `estimate`, `low` and `high`, an interval over seeds. Printed, a row is one line in percent.

    **Raises:**

    UserError for an unknown process, and for a critic that does not evaluate the base policy.
    """
    critic = config.critic
    check_known_exactly(critic)
    if critic.chooses_draw:
        raise UserError(
            f"critic.next_draw is {critic.next_draw}: expected any, because this benchmark is about the base policy's "
            "returns; for backups that choose, call tabular.benchmark.ensure_tabular_critics"
        )
    size = tabular_preset(config.preset, critic=critic.kind)
    shared = {each.name for each in fields(CriticConfig)} | {"num_target_steps"}
    own = {each.name: getattr(critic, each.name) for each in fields(critic) if each.name not in shared}
    tabular = replace(size.critic, **own)
    rows = []
    for name in processes or PROCESSES:
        metrics = ensure_tabular_critics(name, tabular, num_seeds or size.num_seeds).run.metrics()
        errors = (bootstrap_interval(metrics[each][-1], seed=0) for each in ("w1", "mean_error", "soft_error"))
        rows.append(TabularRow(name, *errors))
    return rows


@eqx.filter_jit
def _distributions(
    critics: AbstractCritic, obs: Array, chunk: Array, num_returns: int, num_steps: int
) -> ReturnDistribution:
    return eqx.filter_vmap(lambda critic: critic.distribution(obs, chunk, num_returns, num_steps))(critics)


def _mid_quantiles(atoms: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of atoms in rising order, in double precision: exact weights on a fine grid are too small for single."""
    levels = distributions.mid_levels(NUM_LEVELS, np)
    return atoms[np.minimum(np.searchsorted(np.cumsum(weights), levels), len(atoms) - 1)]


def _given_away(exact: Float[Array, "states acts"], learned: Float[Array, "states acts"]) -> Float[Array, " states"]:
    chosen = jnp.take_along_axis(exact, jnp.argmax(learned, axis=1)[:, None], axis=1)[:, 0]
    return jnp.max(exact, axis=1) - chosen
