"""Presets in three sizes: smoke (under a minute), laptop (two cores, minutes), paper (1M updates, 4 x 512 networks).

They are written for the flow critic. `with_critic` applies the fields that critics share to any other critic.
"""

from dataclasses import fields, replace
from typing import Any

from evor_eqx.config import (
    Config,
    CriticConfig,
    DataConfig,
    EvaluationConfig,
    FieldConfig,
    InferenceConfig,
    PolicyConfig,
    TabularConfig,
    TrainConfig,
)
from evor_eqx.critics.registry import critic_config
from evor_eqx.errors import UserError
from evor_eqx.system.checked import field_types

PRESETS = ("smoke", "laptop", "paper")


def preset(name: str, *, critic: str = "flow", **critic_fields: Any) -> Config:
    """The configuration of a whole experiment in one of three sizes.

    **Arguments:**

    - `name`: `smoke` (under a minute; it only shows that everything runs), `laptop` (minutes on two cores) or `paper`
      (a million updates and the paper's network sizes).
    - `critic`: the name of a critic: flow, scalar, gaussian, c51, hl_gauss, qr_dqn, iqn, best_of_n, expectile, or one
      that you registered.
    - `critic_fields`: settings of the critic, such as `seed`, `n_step` or, for the flow, `target`. They take the place
      of the preset's.

    **Returns:**

    A `Config`. Change any part of it with `dataclasses.replace`.

    **Raises:**

    UserError for an unknown preset or critic, and for a field that the critic does not have.
    """
    make = {"smoke": _smoke, "laptop": _laptop, "paper": _paper}
    return replace(with_critic(_named(make, name)(), critic, **critic_fields), preset=name)


def tabular_preset(name: str, *, critic: str = "flow", **critic_fields: Any) -> TabularConfig:
    """The configuration of the tabular benchmark of this size. Arguments and errors are those of `preset`."""
    sizes = {"smoke": (200, 2, 16), "laptop": (2500, 5, 64), "paper": (20_000, 5, 256)}
    config = _tabular(*_named(sizes, name))
    return replace(config, critic=_as_critic(config.critic, critic, critic_fields))


def with_critic(config: Config, critic: str, **critic_fields: Any) -> Config:
    """The configuration with another critic. Fields that both critics have are kept, unless `critic_fields` has them.

    If the critic needs an n_step of the chunk's length, n_step is set to it. Raises UserError as `preset` does.
    """
    if critic_config(critic).needs_n_step_of_chunk:
        critic_fields = {"n_step": config.policy.chunk_length, **critic_fields}
    return replace(config, critic=_as_critic(config.critic, critic, critic_fields))


def _as_critic(before: CriticConfig, name: str, given: dict[str, Any]) -> CriticConfig:
    """The configuration of the critic `name`, with the shared fields of another one and the given fields."""
    kind = critic_config(name)
    names = [field.name for field in fields(kind)]
    if unknown := [field for field in given if field not in names]:
        raise UserError(
            f"the critic {name} has no setting {', '.join(unknown)}: expected some of {', '.join(sorted(names))}"
        )
    network_kind = field_types(kind)["network"]
    network = network_kind(**_common(before.network, network_kind))
    defaults = {each.name: each.default for each in fields(CriticConfig)}
    own = {each.name for each in fields(kind) if each.default != defaults.get(each.name, each.default)}
    kept = {field: value for field, value in _common(before, kind).items() if field not in own}
    return kind(**{**kept, "network": network, **given})


def _common(before: Any, kind: type) -> dict[str, Any]:
    """The values of the fields that a configuration shares with another class."""
    return {each.name: getattr(before, each.name) for each in fields(kind) if hasattr(before, each.name)}


def _named(choices: dict[str, Any], name: str) -> Any:
    if name not in choices:
        raise UserError(f"unknown preset {name!r}: expected one of {', '.join(choices)}")
    return choices[name]


def _paper() -> Config:
    return Config(critic=critic_config("flow")())


def _laptop() -> Config:
    """Sizes chosen on two tasks, on other evaluation seeds than the reported ones.

    With chunks of five actions, candidates differ in what they do for a while, not in the noise of one step. n = 25 is
    enough to bring the goal's reward across a maze. 50 is faster there, but worse for the arm. A critic of this size
    over-fits 200k transitions after some 15k updates: its training loss still falls, but its held-out error and its
    success get worse. An ensemble of two that stops earlier works up to larger N_pi than one critic. Then the base
    policy limits the arm. At three times the critic's learning rate (or with twice the updates) its candidates are
    better, and N_pi = 64 is as good as 16.
    """
    encoder = FieldConfig(width=256, depth=3, head_width=64)
    policy_train = TrainConfig(num_updates=25_000, learning_rate=1e-3, decay=True)
    critic_train = TrainConfig(num_updates=10_000, decay=True)
    critic = {"n_step": 25, "num_members": 2, "solver": "adams", "network": encoder, "train": critic_train}
    return Config(
        data=DataConfig(num_episodes=200),
        policy=PolicyConfig(chunk_length=5, network=replace(encoder, head_width=0), train=policy_train),
        critic=critic_config("flow")(**critic),
    )


def _smoke() -> Config:
    small = FieldConfig(width=32, depth=2, head_width=16)
    short = TrainConfig(num_updates=600, batch_size=64, log_every=100, checkpoint_every=200, learning_rate=1e-3)
    critic = {"n_step": 50, "num_members": 2, "solver": "adams", "network": small, "train": short}
    return Config(
        data=DataConfig(num_episodes=5),
        policy=PolicyConfig(chunk_length=5, network=replace(small, head_width=0), train=short),
        critic=critic_config("flow")(**critic),
        inference=InferenceConfig(num_candidates=4, num_returns=8),
        evaluation=EvaluationConfig(num_episodes=2, num_envs=2),
    )


def _tabular(num_updates: int, num_seeds: int, width: int) -> TabularConfig:
    """One-step targets. Over the gridworld's long horizon, the errors of all backups add up, so the moving average is
    fast and targets have 16 flow steps. The third layer is for jumps of the quantile function."""
    train = TrainConfig(num_updates=num_updates, learning_rate=2e-3, decay=True, ema_rate=0.02, log_every=100)
    network = FieldConfig(width=width, depth=3)
    critic = {"solver": "adams", "num_target_steps": 16, "network": network, "train": train}
    return TabularConfig(critic_config("flow")(**critic), num_seeds)
