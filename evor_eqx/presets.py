"""Three sizes of everything: smoke (CI, a minute), laptop (two cores, minutes), paper (1M updates, 4 x 512)."""

from dataclasses import replace
from typing import TypeVar

from evor_eqx.config import (
    Config,
    CriticConfig,
    DataConfig,
    EvaluationConfig,
    ExactConfig,
    NetworkConfig,
    PolicyConfig,
    Setting,
    TrainConfig,
)
from evor_eqx.errors import UserError

Kind = TypeVar("Kind")


def preset(name: str) -> Config:
    """The experiment of this size; raises UserError for an unknown name."""
    return _named(PRESETS, name)


def exact_preset(name: str) -> ExactConfig:
    """Critics on exact processes, of this size; raises UserError for an unknown name."""
    return _named(EXACT_PRESETS, name)


def _named(presets: dict[str, Kind], name: str) -> Kind:
    if name not in presets:
        raise UserError(f"unknown preset {name!r}: expected one of {', '.join(presets)}")
    return presets[name]


def _laptop() -> Config:
    """Sizes found on two tasks, on other evaluation seeds than the reported ones.

    Chunks of five actions: candidates differ by what they do for a while, not by the noise of a step. n = 25 carries
    the goal's reward across a maze; 50 does so faster, and is worse for the arm. A critic of this size over-fits 200k
    transitions after some 15k updates: its training loss goes on falling, while its held-out error and its success get
    worse. Two members that stop earlier hold up to larger N_pi than one. What then limits the arm is the base policy:
    at three times the critic's learning rate (or with twice the updates) its candidates are better, and N_pi = 64 as
    good as 16.
    """
    encoder = NetworkConfig(width=256, depth=3, head_width=64)
    policy_train = TrainConfig(num_updates=25_000, learning_rate=1e-3, decay=True)
    critic_train = TrainConfig(num_updates=10_000, decay=True)
    return Config(
        data=DataConfig(num_episodes=200),
        policy=PolicyConfig(chunk_length=5, network=replace(encoder, head_width=0), train=policy_train),
        critic=CriticConfig(n_step=25, num_members=2, solver="adams", network=encoder, train=critic_train),
    )


def _smoke() -> Config:
    return Config(
        data=DataConfig(num_episodes=5),
        policy=PolicyConfig(chunk_length=5, network=replace(_SMALL, head_width=0), train=_SHORT),
        critic=CriticConfig(n_step=50, num_members=2, solver="adams", network=_SMALL, train=_SHORT),
        setting=Setting(num_candidates=4, num_returns=8),
        evaluation=EvaluationConfig(num_episodes=2, num_envs=2),
    )


def _exact(num_updates: int, num_seeds: int, width: int = 64) -> ExactConfig:
    """One-step targets. The fast moving average and the 16 steps are for the gridworld's long horizon, over which the
    errors of each backup add up; the third layer is for jumps of the quantile function."""
    train = TrainConfig(num_updates=num_updates, learning_rate=2e-3, decay=True, ema_rate=0.02, log_every=100)
    network = NetworkConfig(width=width, depth=3)
    return ExactConfig(CriticConfig(solver="adams", num_target_steps=16, network=network, train=train), num_seeds)


_SMALL = NetworkConfig(width=32, depth=2, head_width=16)
_SHORT = TrainConfig(num_updates=600, batch_size=64, log_every=100, checkpoint_every=200, learning_rate=1e-3)
PRESETS = {"smoke": _smoke(), "laptop": _laptop(), "paper": Config()}
EXACT_PRESETS = {"smoke": _exact(200, 2, width=16), "laptop": _exact(2500, 5), "paper": _exact(20_000, 5, width=256)}
