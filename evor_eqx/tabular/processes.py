"""Finite processes whose return distribution is known exactly.

A process is a table: at (state, act) an outcome (reward, mask, next state) is drawn with its probability. Critics
evaluate one base policy pi_base(act | state) on it: they learn the distribution R(. | state, act) of z = r + gamma m
z', with act' ~ pi_base(. | next state). `tabular.solution` computes that distribution and the regularised optimum.

Axis names: `states`, `acts`, `outcomes`; networks see states one-hot (`obs`) and acts as vectors (`act_size`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from evor_eqx.errors import UserError
from evor_eqx.system.files import short_hash
from evor_eqx.tabular.sampling import ProcessSampler
from evor_eqx.types import Choose

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
        """The states as networks see them: one-hot vectors."""
        return np.eye(len(self.prob), dtype=np.float32)

    @property
    def fingerprint(self) -> str:
        """Short hash of the tables: it changes when the process does."""
        return short_hash({name: np.asarray(value).tolist() for name, value in vars(self).items()})

    def sampler(self, num_steps: int = 1, num_draws: int = 0, choose: Choose | None = None) -> "ProcessSampler":
        """Batches with n-step rewards; the tables move to the device.

        **Arguments:**

        - `num_steps`: n, at least 1.
        - `num_draws`: draws of the base policy at the next state; at least 1 with `choose`.
        - `choose`: how backups choose among them; None if they take any.

        **Raises:**

        UserError for n below 1.
        """
        _expect(num_steps >= 1, "num_steps", num_steps, "at least 1; it is the n of n-step rewards")
        tables = (self.obs, self.acts, self.base_policy, self.prob, self.reward, self.mask, self.gamma)
        floats = (jnp.asarray(table, jnp.float32) for table in tables)
        next_state, rollout = jnp.asarray(self.next_state, jnp.int32), horizon(self.gamma, 1e-4)
        return ProcessSampler(
            *floats,
            next_state=next_state,
            num_steps=num_steps,
            num_rollout_steps=rollout,
            num_draws=num_draws,
            choose=choose,
        )


def horizon(gamma: float, share: float) -> int:
    """The least n >= 1 with gamma^n <= share, 0 < share < 1 (up to rounding): later rewards weigh at most `share`."""
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
    """Reward 0 or 1 by a fair coin for ever, gamma 1/3: the return is 3/2 times a draw of Cantor's distribution on [0,
    1]."""
    return _coins("cantor", 1 / 3)


def gridworld() -> Process:
    """A 4 x 4 grid, state 4 row + column; each step costs 1 until the goal, the last cell, is entered.

    Acts are up, right, down, left. A step slips to each side with probability 0.1; walls block it. The base policy goes
    right or down with probability 0.35 each. With T the time to the goal, the return is -(1 - gamma^T) / (1 - gamma);
    at the goal it is 0.
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
    """Two walks of two steps, equal in mean and not in distribution: 0 -> 1 ends with 0, 2 -> 3 ends with -1 or 1 by a
    coin.

    The returns at states 0 and 2 are 0 and +-gamma. Their means are equal; only their distributions differ.
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

    The return distribution keeps this upper tail, so its soft value prefers a prize that no policy can choose to win.
    """
    return _two_exits("lottery", [(0.1, 3.0, 0.0, 0), (0.9, 0.0, 0.0, 0)])


PROCESSES: dict[str, Callable[[], Process]] = {
    maker.__name__: maker for maker in (bandit, chain, uniform, cantor, gridworld, twins, corridor, lottery)
}


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
    _expect(
        0 <= process.gamma < 1,
        "gamma",
        process.gamma,
        "0 <= gamma < 1; discount, so that every distribution is bounded",
    )
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
