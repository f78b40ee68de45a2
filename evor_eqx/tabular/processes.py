"""Finite processes whose return law is known exactly, to judge critics, and endless batches from them.

A process is a table: at (state, act) an outcome (reward, mask, next state) is drawn with its probability. All critics
evaluate one base policy pi_base(act | state) on it: they learn the law R(. | state, act) of z = r + gamma m z', with
act' ~ pi_base(. | next state). `tabular.solution` computes that law and the regularised optimum.

Axis names: `states`, `acts`, `outcomes`; networks see states one-hot (`obs`) and acts as vectors (`act_size`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from evor_eqx.distributions import at_level
from evor_eqx.errors import UserError
from evor_eqx.system.files import short_hash
from evor_eqx.types import Batch

Outcome = tuple[float, float, float, int]  # probability, reward, mask, next state


@dataclass(frozen=True, eq=False)
class Process:
    """A finite decision process and the base policy to evaluate on it; tables on the host.

    Raises UserError unless the shapes fit, probabilities are >= 0 and sum to one over the last axis, masks are 0 or 1,
    next states exist, acts lie in [-1, 1], rewards are finite, and gamma lies in [0, 1).
    """

    name: str
    gamma: float
    prob: Float[np.ndarray, "states acts outcomes"]
    reward: Float[np.ndarray, "states acts outcomes"]
    mask: Float[np.ndarray, "states acts outcomes"]  # 0: the task ends with this outcome
    next_state: Int[np.ndarray, "states acts outcomes"]  # not looked at where mask is 0
    base_policy: Float[np.ndarray, "states acts"]
    acts: Float[np.ndarray, "acts act_size"]  # how networks see the acts

    def __post_init__(self):
        _check(self)

    @property
    def obs(self) -> Float[np.ndarray, "states obs"]:
        """How networks see the states: one-hot."""
        return np.eye(len(self.prob), dtype=np.float32)

    @property
    def fingerprint(self) -> str:
        """Short hash of the tables: it changes when the process does."""
        return short_hash({name: np.asarray(value).tolist() for name, value in vars(self).items()})

    def sampler(self, num_steps: int = 1) -> "ProcessSampler":
        """Batches with n-step rewards, n = `num_steps` >= 1 (else UserError); the tables move to the device."""
        _expect(num_steps >= 1, "num_steps", num_steps, "at least 1; it is the n of n-step rewards")
        tables = (self.obs, self.acts, self.base_policy, self.prob, self.reward, self.mask, self.gamma)
        floats = (jnp.asarray(table, jnp.float32) for table in tables)
        next_state, rollout = jnp.asarray(self.next_state, jnp.int32), horizon(self.gamma, 1e-4)
        return ProcessSampler(*floats, next_state=next_state, num_steps=num_steps, num_rollout_steps=rollout)


def horizon(gamma: float, share: float) -> int:
    """The least n >= 1 with gamma^n <= share, 0 < share < 1 (up to rounding): all after n steps counts no more."""
    return 1 if gamma == 0 else max(1, math.ceil(math.log(share) / math.log(gamma)))


def tabulate(
    name: str,
    gamma: float,
    outcomes: Callable[[int, int], list[Outcome]],
    base_policy: Float[np.ndarray, "states acts"],
    acts: Float[np.ndarray, "acts act_size"],
) -> Process:
    """A process from a function (state, act) -> outcomes; shorter lists are filled up with probability zero."""
    lists = [[outcomes(state, act) for act in range(len(acts))] for state in range(len(base_policy))]
    width = max(len(entry) for row in lists for entry in row)
    table = np.array([[entry + [(0.0,) * 4] * (width - len(entry)) for entry in row] for row in lists], np.float64)
    prob, reward, mask, next_state = np.moveaxis(table, -1, 0)
    return Process(name, gamma, prob, reward, mask, next_state.astype(np.int64), base_policy, acts)


def bandit() -> Process:
    """One state, two acts, one step: act 0 gives -1 or 1 (0.3, 0.7), act 1 gives -0.5 or 0.8 (0.6, 0.4)."""
    table = [[(0.3, -1.0, 0.0, 0), (0.7, 1.0, 0.0, 0)], [(0.6, -0.5, 0.0, 0), (0.4, 0.8, 0.0, 0)]]
    return tabulate("bandit", 0.9, lambda state, act: table[act], np.full((1, 2), 0.5), np.array([[-1.0], [1.0]]))


def chain() -> Process:
    """Five states in a row, each left with probability 0.7 per step; a step costs 1, the last pays 4 or -4 by a coin.

    From state s the number of steps is T = 5 - s + N, N negative binomial (5 - s, 0.7), and the return is
    -(1 - gamma^(T-1)) / (1 - gamma) +- 4 gamma^(T-1): two rows of atoms.
    """

    def outcomes(state: int, act: int) -> list[Outcome]:
        leave = [(0.7, -1.0, 1.0, state + 1)] if state < 4 else [(0.35, -4.0, 0.0, 0), (0.35, 4.0, 0.0, 0)]
        return [(0.3, -1.0, 1.0, state), *leave]

    return tabulate("chain", 0.9, outcomes, np.ones((5, 1)), np.zeros((1, 1)))


def uniform() -> Process:
    """Reward 0 or 1 by a fair coin for ever, gamma 1/2: binary digits, so the return is uniform on [0, 2]."""
    return _coins("uniform", 1 / 2)


def cantor() -> Process:
    """Reward 0 or 1 by a fair coin for ever, gamma 1/3: the return is 3/2 times a draw of Cantor's law on [0, 1]."""
    return _coins("cantor", 1 / 3)


def gridworld() -> Process:
    """A 4 x 4 grid, state 4 row + column; each step costs 1 until the goal, the last cell, is entered.

    Acts are up, right, down, left; one step in ten slips to each side, walls hold. The base policy goes right or down
    with probability 0.35 each. With T the time to the goal, the return is -(1 - gamma^T) / (1 - gamma); at the goal 0.
    """
    goal, moves = 15, np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])

    def outcomes(state: int, act: int) -> list[Outcome]:
        if state == goal:
            return [(1.0, 0.0, 0.0, goal)]
        steps = [np.clip(np.array(divmod(state, 4)) + moves[(act + turn) % 4], 0, 3) for turn in (0, 1, -1)]
        cells = [int(4 * row + column) for row, column in steps]
        return [(prob, -1.0, float(cell != goal), cell) for prob, cell in zip((0.8, 0.1, 0.1), cells, strict=True)]

    return tabulate("gridworld", 0.95, outcomes, np.tile([0.15, 0.35, 0.35, 0.15], (16, 1)), moves.astype(np.float64))


def twins() -> Process:
    """Two walks of two steps, equal in mean and not in law: 0 -> 1 ends with 0, 2 -> 3 ends with -1 or 1 by a coin.

    The returns at states 0 and 2 are 0 and +-gamma: what one reads as the mean, only a law can tell apart.
    """
    sure, coin = [(1.0, 0.0, 0.0, 0)], [(0.5, -1.0, 0.0, 0), (0.5, 1.0, 0.0, 0)]
    table = [[(1.0, 0.0, 1.0, 1)], sure, [(1.0, 0.0, 1.0, 3)], coin]
    return tabulate("twins", 0.9, lambda state, act: table[state], np.ones((4, 1)), np.zeros((1, 1)))


def corridor() -> Process:
    """Five cells, acts left and right (0.6, 0.4), no chance: the left exit pays 1, the right exit 3.

    Deterministic, so Q* = tau_r log E exp(z / tau_r) is the exact optimum. The return is gamma^(T-1) times the prize.
    """
    return _two_exits("corridor", [(1.0, 3.0, 0.0, 0)])


def lottery() -> Process:
    """The corridor, but the right exit pays 3 with probability 0.1 only, else 0: less than the left one on average.

    Its law keeps the bright tail, so the soft value of the law goes for a prize that no policy can choose.
    """
    return _two_exits("lottery", [(0.1, 3.0, 0.0, 0), (0.9, 0.0, 0.0, 0)])


PROCESSES: dict[str, Callable[[], Process]] = {
    maker.__name__: maker for maker in (bandit, chain, uniform, cantor, gridworld, twins, corridor, lottery)
}


class ProcessSampler(eqx.Module):
    """Endless on-policy batches of a process, drawn inside a compiled update; see `Process.sampler`."""

    obs: Float[Array, "states obs"]
    acts: Float[Array, "acts act_size"]
    base_policy: Float[Array, "states acts"]
    prob: Float[Array, "states acts outcomes"]
    reward: Float[Array, "states acts outcomes"]
    mask: Float[Array, "states acts outcomes"]
    gamma: Float[Array, ""]
    next_state: Int[Array, "states acts outcomes"]
    num_steps: int = eqx.field(static=True)
    num_rollout_steps: int = eqx.field(static=True)  # gamma to this power is below 1e-4

    def sample(self, batch_size: int, *, key: PRNGKeyArray) -> Batch:
        """A batch with states uniform over all states and acts from the base policy."""
        state_key, act_key, path_key = jax.random.split(key, 3)
        state = jax.random.randint(state_key, (batch_size,), 0, len(self.obs))
        act = jax.vmap(at_level)(self.base_policy[state], jax.random.uniform(act_key, (batch_size,)))
        return jax.vmap(lambda s, a, k: self.at(s, a, key=k))(state, act, jax.random.split(path_key, batch_size))

    def at(self, state: Int[Array, ""], act: Int[Array, ""], *, key: PRNGKeyArray) -> Batch:
        """One example that starts with `act` at `state`.

        `discount` is gamma^n also where the task ended sooner (`mask` is 0 there, and `next_obs` the state it ended
        in). `next_chunk` is a fresh act of the base policy; `mc_return` follows the window's own path further.
        """
        path_key, next_key, rest_key = jax.random.split(key, 3)
        reward, mask, next_state, path_act = self._walk(state, act, self.num_steps, key=path_key)
        rest, *_ = self._walk(next_state, path_act, self.num_rollout_steps, key=rest_key)
        discount = self.gamma**self.num_steps
        return Batch(
            obs=self.obs[state],
            chunk=self.acts[act],
            reward=reward,
            discount=discount,
            mask=mask,
            valid=jnp.asarray(True),
            next_obs=self.obs[next_state],
            next_chunk=self.acts[at_level(self.base_policy[next_state], jax.random.uniform(next_key))],
            mc_return=reward + discount * mask * rest,
        )

    def _walk(self, state, act, num_steps, *, key):
        """Discounted reward of a walk, its mask, and the (state, act) it has reached; it stays where the task ended."""

        def step(carry, levels):
            state, act, mask = carry
            index = (state, act, at_level(self.prob[state, act], levels[0]))
            reward, mask = mask * self.reward[index], mask * self.mask[index]
            state = jnp.where(mask > 0, self.next_state[index], state)
            return (state, at_level(self.base_policy[state], levels[1]), mask), reward

        levels = jax.random.uniform(key, (num_steps, 2))
        (state, act, mask), rewards = jax.lax.scan(step, (state, act, jnp.ones(())), levels)
        return rewards @ self.gamma ** jnp.arange(num_steps), mask, state, act


def _coins(name: str, gamma: float) -> Process:
    return tabulate(name, gamma, lambda s, a: [(0.5, r, 1.0, 0) for r in (0.0, 1.0)], np.ones((1, 1)), np.zeros((1, 1)))


def _two_exits(name: str, right_exit: list[Outcome]) -> Process:
    exits = {-1: [(1.0, 1.0, 0.0, 0)], 5: right_exit}

    def outcomes(state: int, act: int) -> list[Outcome]:
        cell = state + (-1, 1)[act]
        return exits.get(cell, [(1.0, 0.0, 1.0, cell)])

    return tabulate(name, 0.9, outcomes, np.tile([0.6, 0.4], (5, 1)), np.array([[-1.0], [1.0]]))


def _check(process: Process) -> None:
    tables = (process.prob, process.reward, process.mask, process.next_state, process.base_policy, process.acts)
    shape, shapes, acts = process.prob.shape, [np.shape(table) for table in tables], process.acts
    fits = len(shape) == 3 and shapes == [shape] * 4 + [shape[:2], (shape[1], *acts.shape[-1:])]
    _expect(fits, "shapes", shapes, "4 times [states, acts, outcomes], [states, acts], [acts, act_size]; see tabulate")
    _expect(0 <= process.gamma < 1, "gamma", process.gamma, "0 <= gamma < 1; discount, so that every law is bounded")
    for name, prob in (("prob", process.prob), ("base_policy", process.base_policy)):
        fits = prob.min() >= 0 and np.allclose(prob.sum(axis=-1), 1, atol=1e-9)
        _expect(fits, name, prob.tolist(), "probabilities >= 0 that sum to 1; normalise the last axis")
    fits = np.isin(process.next_state, np.arange(len(process.prob))).all()
    _expect(fits, "next_state", np.unique(process.next_state), f"0 to {shape[0] - 1}; use 0 where the task ends")
    _expect(np.isin(process.mask, (0, 1)).all(), "mask", np.unique(process.mask), "0 or 1; 1 where the task goes on")
    _expect((np.abs(acts) <= 1).all(), "acts", acts.tolist(), "vectors in [-1, 1]; scale them")
    _expect(np.isfinite(process.reward).all(), "reward", process.reward.tolist(), "finite numbers; mend the table")


def _expect(holds: bool | np.bool_, name: str, got: object, expected: str) -> None:
    if not holds:
        raise UserError(f"{name}: got {got}, expected {expected}")
