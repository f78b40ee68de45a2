"""The methods that the suite compares, in one table: how their configurations differ, and what is evaluated.

Methods differ in their critic. They share the data, the base policy and the budget. All but the best-of-N methods also
share the inference settings. figures/results/TRIALS.md says what was tuned, and on which episodes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from evor_eqx.config import Config, CriticConfig, InferenceConfig, PolicyConfig
from evor_eqx.critics.flow_targets import TARGETS
from evor_eqx.critics.registry import critic_config, critic_names
from evor_eqx.envs.tasks import OgbenchTask, Task
from evor_eqx.errors import UserError
from evor_eqx.presets import with_critic
from evor_eqx.system import own_files
from evor_eqx.system.code_identity import is_own

# The values on EVOR's curves: of N_pi and, for jobs in depth, of either temperature.
CANDIDATES = (1, 2, 4, 8, 16, 32, 64)
TAUS_R = (1.0, 3.0, 10.0, 30.0, 100.0, math.inf)
TAUS_Q = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True)
class Method:
    """One method: how it differs from the recipe of its environment."""

    chunk_length: int | None = None  # None: the preset's
    trains_critic: bool = True
    critic: str = "flow"  # the registered name
    critic_fields: dict[str, Any] = field(default_factory=dict)  # fields that differ from the recipe's critic
    inference: dict[str, Any] = field(default_factory=dict)  # inference settings that differ from the recipe's
    draws_curves: bool = False  # whether more settings are evaluated at the end of training, for curves
    early_percent: int | None = None  # every task is also evaluated after this percentage of the updates

    def configure(self, config: Config, task: Task, seed: int) -> Config:
        """The configuration on a task. `seed` trains base policy and critic; `inference` has the reported settings.

        A task of your own has no recipe: it starts from the preset as it is.
        """
        chunk_length = self.chunk_length or config.policy.chunk_length
        if isinstance(task, OgbenchTask):
            config = _by_recipe(config, task)
        config = replace(
            config,
            policy=replace(config.policy, chunk_length=chunk_length, seed=seed),
            critic=replace(config.critic, seed=seed),
            inference=replace(config.inference, **self.inference),
        )
        return with_critic(config, self.critic, **self.critic_fields)

    def settings(self, reported: InferenceConfig, in_depth: bool) -> list[InferenceConfig]:
        """The settings to evaluate at the end of training: the reported ones first, then those of the curves."""
        curves = [replace(reported, num_candidates=n) for n in CANDIDATES]
        if in_depth:
            curves += [replace(reported, tau_r=tau_r) for tau_r in TAUS_R]
            curves += [replace(reported, tau_q=tau_q) for tau_q in TAUS_Q]
        return list(dict.fromkeys([reported, *(curves if self.draws_curves else ())]))


@dataclass(frozen=True)
class Recipe:
    """How all methods on one kind of environment differ from the preset. A method may override it."""

    network: dict[str, Any]  # fields of the networks of base policy and critic
    critic: dict[str, Any]
    critic_train: dict[str, Any] = field(default_factory=dict)  # fields of the critic's training
    policy_effort: int = 1  # the base policy's updates, as a multiple of the preset's
    critic_effort: int = 1  # the critic's updates, likewise
    gamma: float | None = None  # the discount; None: the task's

    def policy(self, config: PolicyConfig) -> PolicyConfig:
        """The configuration of the base policy, made from the preset's."""
        network = replace(config.network, **self.network, **POLICY_NETWORK)
        train = replace(config.train, num_updates=config.train.num_updates * self.policy_effort)
        return replace(config, network=network, train=train)

    def critic_of(self, config: CriticConfig) -> CriticConfig:
        """The configuration of the critic, made from the preset's."""
        network = replace(config.network, **self.network)
        num_updates = config.train.num_updates * self.critic_effort
        train = replace(config.train, num_updates=num_updates, **self.critic_train)
        return replace(config, network=network, train=train, **self.critic)


# The base policy has a factorised field. If there are several objects to grasp, the flow's noise decides which one the
# arm reaches for. This takes products of noise and observation: an MLP learns them late, a factorised field has them
# from the start. In mazes it is as good as an MLP of the same width, and its draws are ten times cheaper.
POLICY_NETWORK = {"head_width": 256, "num_frequencies": 3}

# Mazes: the walls are sharp. Without frequencies, the base policy proposes chunks that never occur in the data. The
# goal is hundreds of steps away. With a smaller n_step, values that far from the goal do not depend on it any more.
# Arms: frequencies do harm. With a larger n_step, the critic memorises what followed the rows that it was trained on.
# Standardised entries magnify coordinates that hardly vary (a wrist's 0.0003 rad), and they hide that gripper and cube
# have the same unit.
MAZES = Recipe({"num_obs_frequencies": 3}, {"n_step": 100})
ARMS = Recipe({"obs_units": "common"}, {"n_step": 10}, policy_effort=4)

# Scene: on tasks 4 and 5 some of the goal's conditions must be given up for a while. At a discount of 0.99 that does
# not pay on the ways that agents found (18_what_the_reward_asks). At 0.999 values travel farther, and they need more
# updates to arrive.
SCENE = replace(ARMS, critic_train={"ema_rate": 0.02}, critic_effort=2, gamma=0.999)

# (tau_R, tau_Q) in units of return. In mazes they are 1/10 and 1/1000 of the range of returns. Far from the goal, the
# values of candidates may differ by less than 1/1000 of the range, and a softer selection cannot tell them apart.
# For arms both are 1/100 of the range at the task's own discount, which is proportional to the number of the goal's
# conditions; with a longer discount candidates do not differ more. The data rarely meet a goal of several conditions. A
# smaller tau_R gives those few returns more weight, but it also gives more weight to the one candidate in 32 that looks
# better than it is. If a critic takes a nearly finished task for finished, argmax stays there for ever; a softer
# selection leaves.
MAZE_TEMPERATURES, ARM_TEMPERATURES = (10.0, 0.1), (1.0, 1.0)
TEMPERATURES = {
    "pointmaze-giant": (20.0, 0.2),
    "pointmaze-giant-sparse": (20.0, 0.2),
    "antmaze-giant": (20.0, 0.2),
    "antmaze-giant-sparse": (20.0, 0.2),
    "cube-double": (4.0, 4.0),
    "cube-double-sparse": (2.0, 2.0),
    "cube-triple": (6.0, 6.0),
    "cube-triple-sparse": (2.0, 2.0),
    "scene": (5.0, 5.0),
    "puzzle-3x3": (9.0, 9.0),
    "puzzle-4x4": (16.0, 16.0),
}


def _by_recipe(config: Config, task: OgbenchTask) -> Config:
    """A preset's configuration, changed by the recipe of a task's environment."""
    common = recipe(task)
    return replace(
        config,
        policy=common.policy(config.policy),
        critic=common.critic_of(config.critic),
        gamma=common.gamma,
        inference=replace(config.inference, **temperatures(task)),
    )


def temperatures(task: Task) -> dict[str, float]:
    """Both temperatures for a task's environment, in units of return."""
    others = MAZE_TEMPERATURES if recipe(task) is MAZES else ARM_TEMPERATURES
    tau_r, tau_q = TEMPERATURES.get(task.environment, others)
    return {"tau_r": tau_r, "tau_q": tau_q}


def recipe(task: Task) -> Recipe:
    """The recipe for a task's environment."""
    if task.is_maze:
        return MAZES
    return SCENE if task.environment == "scene" else ARMS


def _best_of(num_candidates: int) -> dict[str, Any]:
    return {"num_candidates": num_candidates, "tau_q": 0.0, "tau_r": math.inf}


def _q_chunking(chunk_length: int, num: int, **others: Any) -> Method:
    """QC. `num` is its authors' N for this chunk length."""
    fields = {"num_bank_draws": num, "num_members": 2, "combine": "mean"}
    return Method(chunk_length, critic="best_of_n", critic_fields=fields, inference=_best_of(num), **others)


BACKUPS_OF_BEST_4 = {"num_bank_draws": 4, "next_draw": "best"}

# In the order in which the suite runs them.
METHODS = {
    "base": Method(trains_critic=False, inference=_best_of(1)),
    "evor": Method(critic_fields={"target": "coupled"}, draws_curves=True),
    "evor_best4": Method(critic_fields={"target": "coupled", **BACKUPS_OF_BEST_4}),
    "velocity": Method(critic_fields={"target": "velocity"}),
    "scalar": Method(critic="scalar"),
    "gaussian": Method(critic="gaussian"),
    "c51": Method(critic="c51"),
    "c51_best4": Method(critic="c51", critic_fields=BACKUPS_OF_BEST_4),
    "hl_gauss": Method(critic="hl_gauss"),
    "qr_dqn": Method(critic="qr_dqn"),
    "iqn": Method(critic="iqn"),
    "qc1": _q_chunking(1, 4),
    # For comparison by training time: 40 % of its updates take 1.6 to 1.9 times as long as all of EVOR's.
    "qc5": _q_chunking(5, 32, early_percent=40),
    "ifql": Method(critic="expectile", critic_fields={"num_members": 2, "combine": "min"}, inference=_best_of(32)),
}


def find_method(name: str) -> Method:
    """A method of the table, or one that has a registered critic or a registered flow target in place of EVOR's.

    Raises UserError for an unknown name, and for one that could be either.
    """
    if name in METHODS:
        if (name in TARGETS and is_own(TARGETS[name])) or (name in critic_names() and is_own(critic_config(name))):
            raise UserError(
                f"method {name!r}: got a method of the suite and a critic or flow target of yours of this name, "
                "expected one; register yours under another name"
            )
        return METHODS[name]
    if name in critic_names():
        return Method(critic=name)
    if name in TARGETS:
        return Method(critic_fields={"target": name})
    raise UserError(
        f"unknown method {name!r}: expected some of {', '.join(METHODS)}, or the name of a critic or flow target that "
        "you registered"
    )


def method_name(typed: str) -> str:
    """The name of a method as it is typed: FILE.py:NAME executes the file, which registers NAME."""
    if not own_files.is_own(typed):
        return typed
    file, name = own_files.split(typed)
    own_files.execute(file)
    return name


def in_order(methods: Iterable[str]) -> list[str]:
    """Methods in the order of the table, those that are not in it last."""
    names = list(METHODS)
    return sorted(methods, key=lambda method: (names.index(method) if method in METHODS else len(names), method))
