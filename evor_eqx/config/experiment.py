"""One whole experiment: data, base policy, critic, inference and evaluation."""

from dataclasses import dataclass, field

from evor_eqx.config.critic import CriticConfig
from evor_eqx.config.training import MAX_SEED, FieldConfig, TrainConfig
from evor_eqx.errors import UserError
from evor_eqx.system.checked import Checked, one_of, within


@dataclass(frozen=True)
class DataConfig(Checked):
    """Which data to train on."""

    num_episodes: int | None = within(1, 100_000, None)
    """Training episodes to generate (validation: a tenth); None: as many as the published set has (usually 1000)."""
    seed: int = within(0, MAX_SEED, 0)
    """Seed of the generated data; 0 to 2^31 - 1."""
    folder: str | None = None
    """A folder of training files, each with its validation file beside it: OGBench's sets of 100M transitions."""


@dataclass(frozen=True)
class PolicyConfig(Checked):
    """Phase 1, the base policy. `evor train --help` explains each field."""

    chunk_length: int = within(1, 100, 1)
    """Actions per chunk, h; 1 to 10."""
    seed: int = within(0, MAX_SEED, 0)
    """Seed of the network and of its training; 0 to 2^31 - 1."""
    solver: str = one_of("euler", "adams", default="euler")
    """How the flow is solved: euler (the paper's) or adams, second order at the same cost."""
    network: FieldConfig = field(default_factory=FieldConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class InferenceConfig(Checked):
    """Phase 3, how an action is chosen; none of it needs training. `evor train --help` explains each field."""

    num_candidates: int = within(1, 4096, 32)
    """N_pi, candidates from the base policy; 1 (the base policy) to 128."""
    tau_r: float = within(0.0, float("inf"), 3.0)
    """Value temperature, in units of return; small: the best return counts, large: the mean; 0.1 to 100, or inf."""
    tau_q: float = within(0.0, float("inf"), 0.3)
    """Selection temperature in units of return; 0: best-of-N, large: the base policy; 0 to 100."""
    num_returns: int = within(1, 4096, 16)
    """N, atoms of each candidate's return distribution; 1 to 64."""
    num_flow_steps: int = within(1, 1000, 10)
    """Steps in flow time of both flows; 5 to 50."""
    num_search_steps: int = within(0, 256, 0)
    """Moves of each candidate in the base policy's noise (`agent.search`); 0: none; 1 to 8."""
    search_angle: float = within(0.001, 1.571, 0.3)
    """How far such a move goes, in radians; pi / 2 draws the noise afresh."""

    @property
    def counts(self) -> tuple[int | float, ...]:
        """All but the temperatures: settings that share these can be decided in one call."""
        return tuple(value for name, value in vars(self).items() if name not in ("tau_r", "tau_q"))


@dataclass(frozen=True)
class EvaluationConfig(Checked):
    """Rollouts."""

    num_episodes: int = within(1, 100_000, 50)
    """Episodes per setting, on the same seeds for all settings; 50 for a reported number."""
    seed: int = within(0, MAX_SEED, 10_000)
    """Seed of the first episode; the others follow. Tune on other seeds than the reported ones."""
    num_envs: int = within(1, 1024, 8)
    """Environments that run at the same time, spread over one process per core."""


@dataclass(frozen=True)
class TabularConfig(Checked):
    """Critics on processes whose return distribution is known exactly."""

    critic: CriticConfig
    num_seeds: int = within(1, 100, 5)
    """Critics trained side by side; 5 for a reported number."""


@dataclass(frozen=True, kw_only=True)
class Config(Checked):
    """One whole experiment; `preset` gives one. `evor train --help` explains each field."""

    critic: CriticConfig
    data: DataConfig = DataConfig()
    policy: PolicyConfig = PolicyConfig()
    inference: InferenceConfig = InferenceConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gamma: float | None = within(0.0, 0.99999, None)
    """Discount per environment step, below 1; None: that of the task."""
    preset: str = "paper"
    """The preset that the other settings start from; no part of a run's identity."""
    num_devices: int = within(1, 1024, 1)
    """Devices (GPUs) that each batch of a training is spread over; no part of a run's identity."""

    def __post_init__(self) -> None:
        super().__post_init__()
        n_step, chunk_length = self.critic.n_step, self.policy.chunk_length
        if n_step < chunk_length:
            raise UserError(f"n_step is {n_step}: expected at least the chunk_length, {chunk_length}")
        if self.critic.needs_n_step_of_chunk and n_step > chunk_length:
            raise UserError(
                f"n_step is {n_step}: expected the chunk_length, {chunk_length}, for {self.critic.kind}, because the "
                f"data's actions after the chunk are not the best of N; set critic.n_step to {chunk_length}"
            )
