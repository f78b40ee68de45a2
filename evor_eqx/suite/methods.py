"""The methods that the suite compares, in one table: how the configuration of each differs, and what is evaluated.

All share data, base policy, budget and, but for best-of-N methods, the extraction; a method is a critic. What was
tuned, and by which episodes, is in figures/results/TRIALS.md.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from evor_eqx.config import Config, PolicyConfig, Setting
from evor_eqx.envs.tasks import Task

# EVOR's curves: over N_pi and, in depth, over either temperature.
CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
TAUS_R = (1.0, 3.0, 10.0, 30.0, 100.0, math.inf)
TAUS_Q = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Method:
    """One line of the table."""

    chunk_length: int | None = None  # the preset's if None
    trains_critic: bool = True
    critic: dict[str, Any] = field(default_factory=dict)  # what differs from the common critic
    setting: dict[str, Any] = field(default_factory=dict)  # what differs from the common extraction
    draws_curves: bool = False  # whether further settings are evaluated at the end of training
    early_percent: int | None = None  # of the updates, after which every task is evaluated too

    def configure(self, config: Config, task: Task, seed: int) -> Config:
        """The configuration on a task; `seed` is that of base policy and critic, `setting` is what is reported."""
        chunk_length, common = self.chunk_length or config.policy.chunk_length, recipe(task)
        critic_network = replace(config.critic.network, **common.network)
        return replace(
            config,
            policy=replace(common.policy(config.policy), chunk_length=chunk_length, seed=seed),
            critic=replace(config.critic, network=critic_network, seed=seed, **(common.critic | self.critic)),
            setting=replace(config.setting, **(common.temperatures(task) | self.setting)),
        )

    def settings(self, reported: Setting, in_depth: bool) -> list[Setting]:
        """What is evaluated at the end of training: the reported setting, and those of the curves."""
        curves = [replace(reported, num_candidates=n) for n in CANDIDATES]
        if in_depth:
            curves += [replace(reported, tau_r=tau_r) for tau_r in TAUS_R]
            curves += [replace(reported, tau_q=tau_q) for tau_q in TAUS_Q]
        return list(dict.fromkeys([reported, *(curves if self.draws_curves else ())]))


@dataclass(frozen=True)
class Recipe:
    """What differs from the preset on a kind of environment, for every method that does not say otherwise."""

    network: dict[str, Any]  # of base policy and critic
    critic: dict[str, Any]
    tau_r: float  # as shares of the range of returns
    tau_q: float
    policy_effort: int = 1  # the base policy's updates, as a multiple of the preset's

    def policy(self, config: PolicyConfig) -> PolicyConfig:
        """The base policy, from the preset's."""
        network = replace(config.network, **self.network, **POLICY_NETWORK)
        train = replace(config.train, num_updates=config.train.num_updates * self.policy_effort)
        return replace(config, network=network, train=train)

    def temperatures(self, task: Task) -> dict[str, float]:
        """Both temperatures of a setting, in units of the task's return."""
        return {name: round(getattr(self, name) * task.return_range, 6) for name in ("tau_r", "tau_q")}


# Where there is more than one thing to grasp, the noise of a flow decides for which the arm goes: products of noise and
# observation, which an MLP learns late and a factorised field has from the start. In a maze it is as good as an MLP of
# the same width, and its draws are ten times cheaper.
POLICY_NETWORK = {"head_width": 256, "num_frequencies": 3}

# A maze's walls are sharp, and its goal is hundreds of steps away: without the frequencies the base policy proposes
# what the data never do, and with fewer steps nothing of the goal is left in a value that far from it. What is left
# may differ by less than a thousandth of the range among candidates, which a softer choice does not see. On an arm the
# frequencies do harm, and with more steps the critic remembers what came of the rows that it has seen. Standardised
# entries magnify what hardly varies (a wrist's 0.0003 rad) and hide that gripper and cube have one unit. Goals of
# several conditions are rarely met in the data; the smaller tau_R, the more those few returns count, but the more, too,
# the one candidate in 32 that looks better than it is. Where a critic takes what is nearly done for done, argmax stays
# there for ever; a softer choice comes away.
MAZES = Recipe({"num_obs_frequencies": 3}, {"n_step": 100}, tau_r=0.1, tau_q=0.001)
ARMS = Recipe({"obs_units": "common"}, {"n_step": 10}, tau_r=0.01, tau_q=0.01, policy_effort=4)


def recipe(task: Task) -> Recipe:
    """The recipe of a task's environment."""
    return MAZES if task.dataset.startswith(("pointmaze", "antmaze")) else ARMS


def _best_of(num_candidates: int) -> dict[str, Any]:
    return {"num_candidates": num_candidates, "tau_q": 0.0, "tau_r": math.inf}


def _q_chunking(chunk_length: int, num: int, **others: Any) -> Method:
    """QC with its authors' N for this length of chunks."""
    critic = {"kind": "best_of_n", "n_step": chunk_length, "num_bank_draws": num, "num_members": 2, "combine": "mean"}
    return Method(chunk_length, critic=critic, setting=_best_of(num), **others)


# In the order in which they are done.
METHODS = {
    "base": Method(trains_critic=False, setting=_best_of(1)),
    "evor": Method(critic={"target": "coupled"}, draws_curves=True),
    "evor_best4": Method(critic={"target": "coupled", "num_bank_draws": 4, "next_draw": "best"}),
    "velocity": Method(critic={"target": "velocity"}),
    "scalar": Method(critic={"kind": "scalar"}),
    "gaussian": Method(critic={"kind": "gaussian"}),
    "c51": Method(critic={"kind": "c51"}),
    "hl_gauss": Method(critic={"kind": "hl_gauss"}),
    "qr_dqn": Method(critic={"kind": "qr_dqn"}),
    "iqn": Method(critic={"kind": "iqn"}),
    "qc1": _q_chunking(1, 4),
    # 40 % of its updates take half as long again as all of EVOR's (`evor bench`): for comparison by time.
    "qc5": _q_chunking(5, 32, early_percent=40),
    "ifql": Method(critic={"kind": "expectile", "num_members": 2, "combine": "min"}, setting=_best_of(32)),
}
