"""One state looked at closely: its candidates and their laws are drawn once, every setting only re-weighs them.

`look` draws the largest number of candidates and, for every number of atoms of `NUM_RETURNS`, their laws; `weigh` then
answers any (N_pi, N, tau_R, tau_Q) in a fraction of a millisecond, and gives exactly what `inference.decide` gives with
the same key (a test compares them). Both compile once.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.agent.selection import candidate_weights
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.distributions import ReturnLaw, at_level, mean, soft_value
from evor_eqx.envs.tasks import Task
from evor_eqx.errors import UserError
from evor_eqx.policy import FlowPolicy

NUM_CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
NUM_RETURNS = (1, 4, 16, 64)
TAU_GRID = np.geomspace(0.01, 1000.0, 46, dtype=np.float32)  # tau_R at which the curves of Q* are drawn
_METRES = {"pointmaze": 0.2, "cube": 0.05, "scene": 0.05, "puzzle": 0.05}  # OGBench: of one action of 1 in x or y


class Look(NamedTuple):
    """What was drawn at a state. The last row of `chunks` and `laws` is the data's own chunk, not a candidate."""

    chunks: Float[Array, "all chunk"]  # all = NUM_CANDIDATES[-1] + 1
    laws: ReturnLaw  # [number of atoms, all, atoms]: one for each of NUM_RETURNS, filled up with weights of 0
    level: Float[Array, ""]  # in [0, 1): which candidate is picked, see `inference.at_level`


class Reading(NamedTuple):
    """What a setting makes of a look; `all` as there, weights are 0 behind the first N_pi."""

    value: Float[Array, " all"]  # Q*(tau_R), in units of return
    weights: Float[Array, " all"]  # selection probabilities
    index: Int[Array, ""]  # the candidate that is picked
    curves: Float[Array, "taus all"]  # Q* at TAU_GRID
    lowest: Float[Array, " all"]  # the limit of Q* at large tau_R: the mean
    highest: Float[Array, " all"]  # the limit at small tau_R: the largest atom
    num_effective: Float[Array, ""]  # 1 / sum of squared weights
    kl: Float[Array, ""]  # KL(selection | base policy) in nats, among the candidates: log N_pi minus the entropy


@eqx.filter_jit
def look(
    policy: FlowPolicy,
    critic: AbstractCritic,
    obs: Float[Array, " obs"],
    data_chunk: Float[Array, " chunk"],
    num_steps: Int[Array, ""],
    *,
    key: PRNGKeyArray,
) -> Look:
    """Draw candidates at `obs` and their laws, and the law of the chunk that the data took there."""
    candidate_key, select_key = jax.random.split(key)
    candidates = policy.sample(obs, NUM_CANDIDATES[-1], num_steps, key=candidate_key)
    chunks = jnp.concatenate([candidates, data_chunk[None]])
    laws = [jax.vmap(lambda chunk, n=n: critic.law(obs, chunk, n, num_steps))(chunks) for n in NUM_RETURNS]
    width = max(law.atoms.shape[-1] for law in laws)
    filled = jax.tree.map(lambda *each: jnp.stack([_fill(array, width) for array in each]), *laws)
    return Look(chunks, filled, jax.random.uniform(select_key))


@jax.jit
def weigh(
    seen: Look,
    num_candidates: Int[Array, ""],
    count_index: Int[Array, ""],
    tau_r: Float[Array, ""],
    tau_q: Float[Array, ""],
) -> Reading:
    """What the setting makes of the look; N = NUM_RETURNS[count_index], N_pi <= NUM_CANDIDATES[-1]."""
    law = jax.tree.map(lambda array: array[count_index], seen.laws)
    value = soft_value(law, tau_r)
    weights = candidate_weights(value, tau_q, num_candidates)
    entropy = -jnp.sum(jax.scipy.special.xlogy(weights, weights))
    return Reading(
        value=value,
        weights=weights,
        index=at_level(weights, seen.level),
        curves=jax.vmap(lambda tau: soft_value(law, tau))(jnp.asarray(TAU_GRID)),
        lowest=mean(law),
        highest=soft_value(law, 0.0),
        num_effective=1.0 / jnp.sum(jnp.square(weights)),
        kl=jnp.log(num_candidates) - entropy,
    )


def ranked(reading: Reading, num_candidates: int) -> Int[np.ndarray, " cand"]:
    """The first N_pi candidates by Q*, best first."""
    return np.argsort(-np.asarray(reading.value)[:num_candidates], kind="stable")


def displacement(task: Task, chunks: Float[np.ndarray, "num chunk"], act_size: int) -> Float[np.ndarray, "num 2"]:
    """Where chunks would lead if nothing were in the way, in metres: the maze's point, or the gripper seen from above.

    The sum of the chunk's actions in x and y. Raises UserError for an environment whose actions are not displacements.
    """
    name = task.dataset.partition("-")[0]
    if name not in _METRES:
        raise UserError(f"actions of {task.dataset} are no displacements: expected one of {', '.join(_METRES)}")
    acts = np.asarray(chunks).reshape(len(chunks), -1, act_size)
    return _METRES[name] * acts[:, :, :2].sum(axis=1)


def _fill(array: Float[Array, "all atoms"], width: int) -> Float[Array, "all width"]:
    return jnp.pad(array, ((0, 0), (0, width - array.shape[-1])))
