"""Offline evaluation of an agent, on held-out rows alone: for tasks without an environment.

The critic's distributions are compared with recorded returns. What the agent chooses is valued by fitted evaluation.
Fitted evaluation (Le, Voloshin, Yue 2019) learns the expected return of the agent's own choices by temporal differences
on the data: a chunk of the data, then what the agent would choose at the state that it led to. It is read at the first
states of held-out episodes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from evor_eqx.agent.agent import Agent, models_digest
from evor_eqx.agent.selection import candidate_weights
from evor_eqx.config import Config
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.data.censoring import ScoreBounds, interval_text
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.loading import load_dataset
from evor_eqx.data.pieces import first_rows
from evor_eqx.data.returns import KNOWN_WEIGHT, steps_to_know
from evor_eqx.data.sources import SPLITS
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError, check_kinds
from evor_eqx.evaluation.fitting import check_fits, with_agents_discount
from evor_eqx.evaluation.held_out import HeldOut, distributions
from evor_eqx.evaluation.statistics import Interval, bootstrap_interval
from evor_eqx.pipeline.identity import ensure_source
from evor_eqx.pipeline.loading import load_critic
from evor_eqx.presets import with_critic
from evor_eqx.runs.records import to_record
from evor_eqx.runs.run import Run
from evor_eqx.system.code_identity import code_digest
from evor_eqx.system.locks import lock
from evor_eqx.system.progress import bar
from evor_eqx.training.compilation import initialised, keep_compiled
from evor_eqx.training.fit import fit_in_run, phase_key
from evor_eqx.training.phases import critic_windows, untrained_critic

_BATCH = 512  # rows at which the agent chooses in one call


@dataclass(frozen=True)
class OfflineEvaluation:
    """How an agent does on held-out rows, without an environment. Printed, it is a few lines.

    - `num_episodes`: the held-out episodes, at whose first states the value is read.
    - `value`: the mean discounted return of the agent's choices from there, by fitted evaluation, with a 95 % interval
      over these states.
    - `num_known`: the held-out rows that the critic is compared at, at most 512. Their recorded return is known: what
      follows the recording weighs at most 5 %.
    - `num_cut`: how many of these returns are known between bounds only, because their recording was cut off.
    - `gamma`: the discount per step.
    - `errors`: the critic's errors at these rows, by name: the least and the most that each can be, whatever followed
      the returns that were cut off (`HeldOut.bounds`). Both are equal if none was. It is empty if no return is known.

      - `held_out_w1`: W_1 between all predicted distributions together and all recorded returns.
      - `held_out_crps`: the mean CRPS of a distribution at its own recorded return; lower is better.
      - `held_out_error`: the mean predicted return minus the mean recorded one. These three are in units of return.
      - `held_out_coverage`: the share of recorded returns in the central 90 % of their distributions. Above 0.9 the
        distributions are too wide, below 0.9 too narrow.
    """

    num_episodes: int
    value: Interval
    num_known: int
    num_cut: int
    gamma: float
    errors: dict[str, ScoreBounds]

    def __str__(self) -> str:
        """What was found, and what it assumes."""
        value = self.value
        return "\n".join(
            [
                *self._critic_lines(),
                f"choices: discounted return {value.estimate:.1f} ({value.low:.1f} to {value.high:.1f}) from the start "
                f"of {self.num_episodes} held-out episodes",
                "This is an estimate from data alone. It assumes that the data hold the states and actions that the",
                "agent comes to, and that the network can fit its value. The interval is over starts only.",
            ]
        )

    def _critic_lines(self) -> list[str]:
        """The critic's errors or, if there are none, why."""
        if not self.errors:
            return [
                "critic: no return is known. What follows a recording must weigh at most "
                f"{KNOWN_WEIGHT:.0%}, which takes {steps_to_know(self.gamma)} more",
                f"recorded steps at gamma {self.gamma:g}. Record longer episodes, or choose a smaller gamma.",
            ]
        names = {"held_out_crps": "CRPS", "held_out_w1": "W_1", "held_out_error": "mean error"}
        found = ", ".join(f"{label} {interval_text(self.errors[name], '.3g')}" for name, label in names.items())
        coverage = interval_text(self.errors["held_out_coverage"], ".0%")
        lines = [
            f"critic: {found} at {self.num_known} held-out rows",
            f"critic: {coverage} of the returns are in the central 90 % of their distributions",
        ]
        if self.num_cut:
            lines.append(
                f"{self.num_cut} of these returns are known between bounds only: their recordings were cut off"
            )
        return lines


def evaluate_offline(agent: Agent, task: Task, config: Config) -> OfflineEvaluation:
    """Evaluate an agent on the held-out rows of its task's data; nothing is rolled out.

    A network is trained to predict the return of the agent's choices. It lands in a run folder of the task, and is
    found there again.

    **Arguments:**

    - `agent`: the agent, with its inference settings and its selection rule.
    - `task`: the task; its data are what the agent is evaluated on.
    - `config`: the experiment. `config.data` says which data. `config.critic.network` and `config.critic.train` are
      the network that is trained here and its training, `config.critic.num_members` how many are averaged, and
      `config.critic.seed` its seed.

    **Returns:**

    An `OfflineEvaluation`.

    **Raises:**

    UserError without a critic, if the agent was not made for the task, and if training diverges.
    """
    check_kinds(agent=(agent, Agent), task=(task, Task), config=(config, Config))
    keep_compiled()
    task = with_agents_discount(agent, task)
    source = ensure_source(task, config)
    train, validation = (load_dataset(source, task, split) for split in SPLITS)
    if agent.critic is None:
        raise UserError(
            "the agent has no critic: expected one, because its distributions are compared; use one that `fit` made"
        )
    check_fits(agent, task, train.obs.shape[1], train.act.shape[1], on_data=True)
    held_out = HeldOut.of(validation, task.gamma, agent.chunk_length, bounds=task.return_bounds)
    found = held_out.bounds(agent.critic, agent.inference.num_returns, jnp.asarray(agent.inference.num_flow_steps))
    errors = {name: ScoreBounds(float(low), float(high)) for name, (low, high) in found.items()}
    critic = _fitted(agent, task, config, {"train": train, "val": validation}, source.fingerprint)
    starts = first_rows(validation)
    chunks = _choices(agent, validation.obs[starts], phase_key(6, config.critic.seed))
    valued = distributions(critic, jnp.asarray(validation.obs[starts]), jnp.asarray(chunks), 1, 1)
    values = np.asarray(jnp.sum(valued.atoms * valued.weights, axis=-1), np.float64)
    value = bootstrap_interval(values, seed=0)
    known = len(held_out.returns), held_out.num_cut
    return OfflineEvaluation(len(starts), value, *known, task.gamma, errors)


def _fitted(
    agent: Agent, task: Task, config: Config, splits: dict[Any, OfflineDataset], fingerprint: str
) -> AbstractCritic:
    """The expected return of the agent's choices, learned in a run folder."""
    h = agent.chunk_length
    shortened = replace(config.critic, n_step=h)  # a configuration with fewer rewards than actions is refused
    config = replace(config, policy=replace(config.policy, chunk_length=h), critic=shortened)
    config = with_critic(config, "scalar", num_bank_draws=1, next_draw="any", combine="mean")
    run = Run.of(task.name, "fitted", _definition(agent, task, config, fingerprint)).open()
    if not run.complete:
        with lock(run.path):
            if not run.complete:
                init_key, train_key, choice_key = jax.random.split(phase_key(5, config.critic.seed), 3)
                sizes = {"obs_size": agent.obs_size, "chunk_size": agent.policy.chunk_size}
                windows = [
                    critic_windows(split, task.gamma, config, _choices(agent, split.obs, choice_key)[None])
                    for split in splits.values()
                ]
                make = untrained_critic(splits["train"], task.gamma, config.critic, sizes)
                fit_in_run(run, initialised(make, init_key), windows, config.critic.train, sizes, key=train_key)
    return load_critic(run, config=config.critic).model


def _definition(agent: Agent, task: Task, config: Config, fingerprint: str) -> dict[str, Any]:
    rule = None if agent.selection is candidate_weights else code_digest(agent.selection, "selection rule")
    return {
        "dataset": task.dataset,
        "fingerprint": fingerprint,
        "task": task.name,
        "gamma": task.gamma,
        "agent": models_digest(agent.policy, agent.critic),
        "inference": code_digest(agent.inference, "inference settings"),
        "selection": rule,
        "critic": to_record(config.critic),
        "seed": config.critic.seed,
    }


def _choices(agent: Agent, obs: Float[np.ndarray, "rows obs"], key: Key[Array, ""]) -> Float[np.ndarray, "rows chunk"]:
    """What the agent chooses at each row, in [-1, 1]."""
    unit = replace(agent, bounds=None)
    return np.concatenate(list(_blocks(unit, obs, key)))


def _blocks(agent: Agent, obs: np.ndarray, key: Key[Array, ""]) -> Iterator[np.ndarray]:
    with bar(len(obs), "choices of the agent", "row") as progress:
        for start in range(0, len(obs), _BATCH):
            rows = np.minimum(np.arange(start, start + _BATCH), len(obs) - 1)  # of one size: one compilation
            keys = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.asarray(rows))
            chunks = agent.act_each(obs[rows], keys, [agent.inference] * _BATCH)[: len(obs) - start]
            progress.update(len(chunks))
            yield chunks
