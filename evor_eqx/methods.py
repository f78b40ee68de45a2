"""The methods that the suite compares, in one table: how the configuration of each differs, and what is evaluated.

All share data, base policy, budget and, but for best-of-N methods, the extraction; a method is a critic. What was
tuned: the preset, and the temperatures below, on two tasks and other evaluation seeds than the reported ones.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from evor_eqx.config import Config, NetworkConfig, Setting
from evor_eqx.tasks import Task

CANDIDATES = (1, 2, 4, 8, 16, 32, 64)  # N_pi of EVOR's curve
# Without them the base policy misses what happens within a fifth of a maze's cell, and proposes what the data never do.
NUM_OBS_FREQUENCIES = 3


@dataclass(frozen=True)
class Method:
    """One line of the table."""

    chunk_length: int | None = None  # the preset's if None
    trains_critic: bool = True
    critic: dict[str, Any] = field(default_factory=dict)  # what differs from the preset's critic
    setting: dict[str, Any] = field(default_factory=dict)  # what differs from the common extraction
    curve: tuple[int, ...] = ()  # further N_pi, evaluated at the end of training only

    def configure(self, config: Config, task: Task, seed: int) -> Config:
        """The configuration on a task; `seed` is that of base policy and critic, `setting` is what is reported."""
        chunk_length = self.chunk_length or config.policy.chunk_length
        return replace(
            config,
            policy=replace(config.policy, chunk_length=chunk_length, seed=seed, network=_sharp(config.policy.network)),
            critic=replace(config.critic, seed=seed, network=_sharp(config.critic.network), **self.critic),
            setting=replace(config.setting, **(temperatures(task) | self.setting)),
        )

    def settings(self, reported: Setting) -> list[Setting]:
        """What is evaluated at the end of training: the reported setting, and those of the curve."""
        return list(dict.fromkeys([reported, *(replace(reported, num_candidates=n) for n in self.curve)]))


def temperatures(task: Task) -> dict[str, float]:
    """The recommended temperatures in units of return: mazes need the law's tail, arms its mean."""
    is_maze = task.dataset.startswith(("pointmaze", "antmaze"))
    return {"tau_r": 3.0, "tau_q": 0.1} if is_maze else {"tau_r": 30.0, "tau_q": 0.3}


def _sharp(network: NetworkConfig) -> NetworkConfig:
    return replace(network, num_obs_frequencies=NUM_OBS_FREQUENCIES)


def _best_of(num_candidates: int) -> dict[str, Any]:
    return {"num_candidates": num_candidates, "tau_q": 0.0, "tau_r": math.inf}


def _q_chunking(chunk_length: int, num: int) -> Method:
    """QC with its authors' N for this length of chunks."""
    critic = {"kind": "best_of_n", "n_step": chunk_length, "num_bank_draws": num, "num_members": 2, "combine": "mean"}
    return Method(chunk_length, critic=critic, setting=_best_of(num))


# In the order in which they are done.
METHODS = {
    "base": Method(trains_critic=False, setting={"num_candidates": 1}),
    "evor": Method(curve=CANDIDATES),
    "velocity": Method(critic={"target": "velocity"}),
    "scalar": Method(critic={"kind": "scalar"}),
    "gaussian": Method(critic={"kind": "gaussian"}),
    "c51": Method(critic={"kind": "c51"}),
    "hl_gauss": Method(critic={"kind": "hl_gauss"}),
    "qr_dqn": Method(critic={"kind": "qr_dqn"}),
    "iqn": Method(critic={"kind": "iqn"}),
    "qc1": _q_chunking(1, 4),
    "qc5": _q_chunking(5, 32),
    "ifql": Method(critic={"kind": "expectile", "num_members": 2, "combine": "min"}, setting=_best_of(32)),
}
