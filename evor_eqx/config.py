"""Every setting of an experiment, as frozen dataclasses.

Sizes of observations and actions come from the dataset, the discount and the reward timing from the task. Settings
that only one critic has are defined with that critic, in a subclass of `CriticConfig` (see `critics.registry`).
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, get_type_hints

from evor_eqx.errors import UserError
from evor_eqx.system.checked import Checked, one_of, within
from evor_eqx.system.code_identity import code_digest, is_own

MAX_SEED = 2**31 - 1


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
class NetworkConfig(Checked):
    """A multi-layer perceptron, and what it sees of an observation."""

    width: int = within(1, 8192, 512)
    """Units of each hidden layer; 32 (smoke) to 1024."""
    depth: int = within(1, 32, 4)
    """Hidden layers; 1 to 6."""
    use_layer_norm: bool = True
    """LayerNorm after each hidden layer."""
    num_obs_frequencies: int = within(0, 16, 0)
    """Fourier features: sin and cos of 2^k pi o of each standardised entry o, k below this; 0 (the paper's) to 5."""
    obs_units: str = one_of("each", "common", default="each")
    """What centred observations are divided by. each: every entry by its own standard deviation. common: all entries by
    the median of these, which keeps the environment's proportions and magnifies nothing that hardly varies."""


@dataclass(frozen=True)
class FieldConfig(NetworkConfig):
    """A velocity field: a network that also sees flow time."""

    head_width: int = within(0, 8192, 0)
    """0: one MLP of (x, t, condition), the paper's. 16 (smoke) to 256: a factorised field. Its MLP encodes the
    condition once, and a head of this width runs at each step in flow time."""
    num_frequencies: int = within(0, 64, 0)
    """Fourier features of flow time, sin and cos of pi k t for k up to this; 0 (the paper's) to 8."""


@dataclass(frozen=True)
class TrainConfig(Checked):
    """How a network is trained (Adam)."""

    num_updates: int = within(1, 10**9, 1_000_000)
    """Gradient steps; 600 (smoke) to 1e6 (paper)."""
    batch_size: int = within(1, 10**6, 256)
    """Windows per gradient step; 64 to 1024."""
    learning_rate: float = within(0.0, 1.0, 3e-4)
    """Adam's step size; 1e-4 to 1e-3."""
    decay: bool = False
    """Lower the step size to zero along a cosine; pays when updates are few."""
    ema_rate: float = within(0.0, 1.0, 0.005)
    """Rate of the weights' moving average: the target network, and the model that is used; 1e-3 to 1e-2."""
    log_every: int = within(1, 10**6, 500)
    """Updates fused into one compiled call, and between two rows of metrics; 100 to 5000."""
    checkpoint_every: int = within(1, 10**9, 5_000)
    """Updates between two checkpoints; a multiple of log_every."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoint_every % self.log_every:
            every, log_every = self.checkpoint_every, self.log_every
            raise UserError(f"checkpoint_every is {every}: expected a multiple of log_every, {log_every}")

    @property
    def snapshot_steps(self) -> tuple[int, ...]:
        """Updates after which a snapshot is kept: 10, 20, 40, 60, 80, 90 %, rounded down to the end of a block."""
        return self.ends_of_blocks(10, 20, 40, 60, 80, 90)

    @property
    def late_steps(self) -> tuple[int, ...]:
        """The snapshot steps that are reported together with the end of training."""
        return self.ends_of_blocks(80, 90)

    def ends_of_blocks(self, *percents: int) -> tuple[int, ...]:
        """These percentages of all updates, each rounded down to the end of a block; zeros are left out."""
        blocks = {percent * self.num_updates // (100 * self.log_every) for percent in percents}
        return tuple(block * self.log_every for block in sorted(blocks) if block)


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
class CriticConfig(Checked):
    """Phase 2: what all critics have. A subclass adds fields and `make`. `evor train --help` explains each field."""

    kind: ClassVar[str] = ""  # the registered name
    label_field: ClassVar[str] = "kind"  # the field that names the critic in run names and legends
    is_improver: ClassVar[bool] = False  # learns the value of a better policy than the base policy
    has_own_members: ClassVar[bool] = False  # its members learn from each other, so they are inside of one critic
    needs_n_step_of_chunk: ClassVar[bool] = False  # n_step must be the chunk_length
    next_draws: ClassVar[tuple[str, ...]] = ("any", "best")  # what `next_draw` may be

    n_step: int = within(1, 10_000, 1)
    """Rewards of the data per backup, n >= chunk_length; 1 to 100."""
    num_bank_draws: int = within(0, 1024, 1)
    """Draws of the base policy that are kept for each state of the data; 1 to 32. A backup takes one of them as its
    next chunk (see next_draw). 0: it takes the chunk that follows in the data."""
    num_bank_steps: int = within(1, 1000, 10)
    """Steps in flow time of the base policy's flow when these draws are made; 5 to 50."""
    next_draw: str = "any"
    """Which of these draws a backup takes. any: one at random; the critic learns the base policy's return distribution
    (EVOR). best: the draw with the highest mean; it learns that of a better policy (Q-chunking's idea)."""
    num_members: int = within(1, 100, 1)
    """Critics in the ensemble; 1 to 10."""
    combine: str = one_of("mean", "min", default="mean")
    """How members agree on a return distribution, quantile by quantile: mean or min."""
    seed: int = within(0, MAX_SEED, 0)
    """Seed of the network and of its training; 0 to 2^31 - 1."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        expected, got = get_type_hints(type(self))["network"], type(self.network)
        if got is not expected:
            raise UserError(f"network is a {got.__name__}: expected a {expected.__name__} for the critic {self.kind}")
        if self.next_draw not in self.next_draws:
            expected = ", ".join(self.next_draws)
            raise UserError(f"next_draw is {self.next_draw!r}: expected one of {expected} for the critic {self.kind}")
        if self.takes_best_draw and self.num_bank_draws == 0:
            raise UserError("num_bank_draws is 0: expected at least 1 if next_draw is best; set it to 4 or 32")

    def make(self, inputs: Any, scale: Any, *, key: Any) -> Any:
        """Make an untrained critic, an `AbstractCritic`, which may be one member of an ensemble.

        **Arguments:**

        - `inputs`: a `CriticInputs`, the map from (obs, chunk) to the network's input, of length `inputs.size`.
        - `scale`: a `ReturnScale`, the map between returns and the units of the model.
        - `key`: a JAX random key for the initial weights.
        """
        raise NotImplementedError(f"{type(self).__name__} has no make")

    def check_returns(self, returns: Any, scale: Any) -> None:
        """Raise UserError if recorded returns do not suit the critic; by default, all do.

        **Arguments:**

        - `returns`: the recorded discounted return of each row, an array [rows].
        - `scale`: the `ReturnScale` that the critic gets.
        """

    def own_code(self) -> dict[str, str]:
        """Digests, by name, of the user's code that the critic consists of; none if it comes with the package."""
        return {self.kind: code_digest(type(self), f"critic {self.kind!r}")} if is_own(type(self)) else {}

    @property
    def takes_best_draw(self) -> bool:
        """Whether a backup takes the best of the bank's draws."""
        return self.next_draw == "best"

    @property
    def label(self) -> str:
        """The critic's name in run names and legends: the target of a flow, else the registered name."""
        return getattr(self, self.label_field)


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
