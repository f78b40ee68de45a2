"""Critics judged on exact processes: several seeds trained side by side, measured against the exact law as they learn.

The same data, budget and optimiser for every critic; errors are shares of the range of the process's returns, so
that processes can be compared.
"""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from evor_eqx import distributions
from evor_eqx.config import EVALUATORS, CriticConfig, to_record
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.factory import make_critic
from evor_eqx.distributions import ReturnLaw
from evor_eqx.errors import UserError
from evor_eqx.runs.run import Run
from evor_eqx.tabular.processes import PROCESSES
from evor_eqx.tabular.solution import ExactLaws, return_laws, return_scale
from evor_eqx.training import loop
from evor_eqx.training.compilation import initialised
from evor_eqx.training.fit import fit_in_run, moving_average

NUM_LEVELS = 1000  # quantile levels at which laws are compared: W_1 to within a thousandth of the range per jump
TAU_R = 0.2  # temperature of the judged soft value, as a share of the range


@dataclass(frozen=True)
class Judged:
    """Critics of one kind, trained on one process: one critic per seed, their arrays stacked."""

    exact: ExactLaws
    critics: AbstractCritic
    run: Run

    def law(self, state: int, act: int, num_returns: int = 256, num_steps: int = 10) -> ReturnLaw:
        """The laws that the seeds learned at one (state, act): atoms and weights are [seeds, atoms]."""
        process = self.exact.process
        obs, chunk = (jnp.asarray(table, jnp.float32) for table in (process.obs[state], process.acts[act]))
        return _laws(self.critics, obs, chunk, num_returns, num_steps)


class Judge(eqx.Module):
    """What is exact about a process, at all its (state, act) pairs, ready to compare with on the device."""

    obs: Float[Array, "pairs obs"]
    chunks: Float[Array, "pairs chunk"]
    quantiles: Float[Array, "pairs levels"]
    mean: Float[Array, " pairs"]
    soft_value: Float[Array, " pairs"]
    range: Float[Array, ""]
    num_acts: int = eqx.field(static=True)

    @classmethod
    def of(cls, exact: ExactLaws) -> "Judge":
        """The judge of a process whose laws are known."""
        process = exact.process
        num_states, num_acts = process.base_policy.shape
        pairs = [(state, act) for state in range(num_states) for act in range(num_acts)]
        tables = {
            "obs": process.obs[[state for state, _ in pairs]],
            "chunks": process.acts[[act for _, act in pairs]],
            "quantiles": np.stack([_mid_quantiles(*exact.law(*pair)) for pair in pairs]),
            "mean": exact.mean.ravel(),
            "soft_value": exact.soft_value(TAU_R * exact.range).ravel(),
            "range": exact.range,
        }
        return cls(num_acts=num_acts, **{name: jnp.asarray(table, jnp.float32) for name, table in tables.items()})

    @eqx.filter_jit
    def __call__(
        self, critics: AbstractCritic, num_returns: int = 256, num_steps: int | Int[Array, ""] = 10
    ) -> dict[str, Float[Array, " seeds"]]:
        """Errors of stacked critics, one number per seed, each a share of the range, averaged over all pairs.

        `w1`: W_1 to the exact law; `mean_error`, `soft_error`: |error| of the mean and of the soft value at TAU_R;
        `regret`: how much exact soft value the act with the highest learned one gives away.
        """
        return eqx.filter_vmap(lambda critic: self._errors(critic, num_returns, num_steps))(critics)

    def _errors(self, critic, num_returns, num_steps):
        law = jax.vmap(lambda obs, chunk: critic.law(obs, chunk, num_returns, num_steps))(self.obs, self.chunks)
        learned, exact = distributions.soft_value(law, TAU_R * self.range), self.soft_value
        errors = {
            "w1": jnp.abs(distributions.mid_quantiles(law, self.quantiles.shape[1]) - self.quantiles),
            "mean_error": jnp.abs(distributions.mean(law) - self.mean),
            "soft_error": jnp.abs(learned - exact),
            "regret": _given_away(exact.reshape(-1, self.num_acts), learned.reshape(-1, self.num_acts)),
        }
        return {name: jnp.mean(error) / self.range for name, error in errors.items()}


def ensure_judged(name: str, config: CriticConfig, num_seeds: int = 5) -> Judged:
    """Critics of `num_seeds` seeds on the process of this name: trained once, then read from their run folder.

    Raises UserError for an unknown process, and for a critic that does not evaluate the base policy.
    """
    if name not in PROCESSES:
        raise UserError(f"unknown process {name!r}: expected one of {', '.join(PROCESSES)}")
    if config.kind not in EVALUATORS or config.takes_best_draw:
        raise UserError(
            f"kind is {config.kind!r}, next_draw {config.next_draw!r}: expected one of {', '.join(EVALUATORS)}, and "
            "any; exact laws are those of the base policy, on which this critic improves"
        )
    process = PROCESSES[name]()
    exact = return_laws(process)
    keys = jax.random.split(jax.random.key(config.seed), (2, num_seeds))
    sizes = {"obs_size": len(process.prob), "chunk_size": process.acts.shape[1]}
    scale = return_scale(process, exact)

    def make(seeds):
        return eqx.filter_vmap(lambda key: make_critic(config, **sizes, key=key, scale=scale))(seeds)

    data = {"dataset": f"exact-{name}", "origin": "exact", "fingerprint": process.fingerprint}
    definition = {**data, "critic": to_record(config), "num_seeds": num_seeds, "seed": config.seed}
    run = Run.open(data["dataset"], f"critic-{config.label}", definition)

    def fit():
        sampler = process.sampler(config.n_step)
        options = {"key": keys[1], "measure": Judge.of(exact)}
        fit_in_run(run, initialised(make, keys[0]), (sampler, sampler), config.train, {}, **options)

    run.train_once(fit)
    return Judged(exact, moving_average(run, lambda: loop.init_states(make(keys[0]), config.train)), run)


@eqx.filter_jit
def _laws(critics: AbstractCritic, obs: Array, chunk: Array, num_returns: int, num_steps: int) -> ReturnLaw:
    return eqx.filter_vmap(lambda critic: critic.law(obs, chunk, num_returns, num_steps))(critics)


def _mid_quantiles(atoms: np.ndarray, weights: np.ndarray) -> np.ndarray:
    levels = (np.arange(NUM_LEVELS) + 0.5) / NUM_LEVELS
    return atoms[np.minimum(np.searchsorted(np.cumsum(weights), levels), len(atoms) - 1)]


def _given_away(exact: Float[Array, "states acts"], learned: Float[Array, "states acts"]) -> Float[Array, " states"]:
    chosen = jnp.take_along_axis(exact, jnp.argmax(learned, axis=1)[:, None], axis=1)[:, 0]
    return jnp.max(exact, axis=1) - chosen
