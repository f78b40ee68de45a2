"""Every setting, as frozen dataclasses.

Sizes of observations and actions come from the dataset, discounts and reward timing from the task.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from evor_eqx.errors import UserError

# What a field may be, wherever it appears: the lowest and the highest value, or the choices.
EVALUATORS = ("flow", "scalar", "gaussian", "c51", "hl_gauss", "qr_dqn", "iqn")  # learn the law under the base policy
IMPROVERS = ("best_of_n", "expectile")  # learn the value of a better policy, which exact laws do not judge
CRITICS = EVALUATORS + IMPROVERS
RANGES = {
    "num_episodes": (1, 100_000),
    "seed": (0, 2**31 - 1),
    "width": (1, 8192),
    "depth": (1, 32),
    "head_width": (0, 8192),
    "num_frequencies": (0, 64),
    "num_obs_frequencies": (0, 16),
    "num_updates": (1, 10**9),
    "batch_size": (1, 10**6),
    "learning_rate": (0.0, 1.0),
    "ema_rate": (0.0, 1.0),
    "log_every": (1, 10**6),
    "checkpoint_every": (1, 10**9),
    "chunk_length": (1, 100),
    "num_target_steps": (1, 1000),
    "n_step": (1, 10_000),
    "num_bank_draws": (0, 1024),
    "num_members": (1, 100),
    "num_seeds": (1, 100),
    "num_atoms": (2, 1001),
    "control_variate": (0.0, 1.0),
    "num_candidates": (1, 4096),
    "num_returns": (1, 4096),
    "tau_r": (0.0, float("inf")),
    "tau_q": (0.0, float("inf")),
    "num_flow_steps": (1, 1000),
    "num_envs": (1, 1024),
    "num_devices": (1, 1024),
}
# Names alone, so that commands which compute nothing never wait for JAX; `critics.targets.TARGETS` and others have what
# they stand for.
CHOICES: dict[str, Collection[str]] = {
    "kind": CRITICS,
    "next_draw": ("any", "best"),
    "target": ("velocity", "bootstrap", "coupled", "dcfm", "mc"),
    "combine": ("mean", "min"),
    "solver": ("euler", "adams"),
    "obs_units": ("each", "common"),
}


class Checked:
    """A dataclass whose fields are checked when it is made; UserError names the field, its value and the range."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            low, high = RANGES.get(name, (None, None))
            if low is not None and value is not None and not low <= value <= high:
                raise UserError(f"{name} is {value}: expected {low} to {high}")
            if name in CHOICES and value not in CHOICES[name]:
                raise UserError(f"{name} is {value!r}: expected one of {', '.join(CHOICES[name])}")


@dataclass(frozen=True)
class DataConfig(Checked):
    """Which data to train on."""

    num_episodes: int | None = None
    """Training episodes to generate (validation: a tenth); None: as many as the published set has (usually 1000)."""
    seed: int = 0
    """Seed of the generated data; 0 to 2^31 - 1."""
    folder: str | None = None
    """A folder of training files, each with its validation file beside it, to use in place of any others: OGBench's
    sets of 100M transitions come so."""


@dataclass(frozen=True)
class NetworkConfig(Checked):
    """A velocity field."""

    width: int = 512
    """Units of each hidden layer; 64 to 1024."""
    depth: int = 4
    """Hidden layers; 1 to 6."""
    use_layer_norm: bool = True
    """LayerNorm after each hidden layer, as the kin do."""
    head_width: int = 0
    """0: one MLP of (x, t, condition), the paper's. 32 to 128: a factorised field, the MLP encodes the condition
    once and a head of this width runs at each step in flow time."""
    num_frequencies: int = 0
    """Fourier features of flow time, sin and cos of pi k t for k up to this; 0 (the paper's) to 8."""
    num_obs_frequencies: int = 0
    """Fourier features of the observation, sin and cos of 2^k pi o for each standardised entry o and k below this;
    0 (the paper's) to 5."""
    obs_units: str = "each"
    """What centred observations are divided by: each entry by its own standard deviation, or all by the median of
    these (common), which leaves the environment's proportions as they are and magnifies nothing that hardly varies."""


@dataclass(frozen=True)
class TrainConfig(Checked):
    """How a network is trained (Adam)."""

    num_updates: int = 1_000_000
    """Gradient steps; 1e3 (smoke) to 1e6 (paper)."""
    batch_size: int = 256
    """Windows per gradient step; 64 to 1024."""
    learning_rate: float = 3e-4
    """Adam's step size; 1e-4 to 1e-3."""
    decay: bool = False
    """Lower the step size to zero along a cosine; pays when updates are few."""
    ema_rate: float = 0.005
    """Rate of the weights' moving average: the target network, and the model that is used; 1e-3 to 1e-2."""
    log_every: int = 500
    """Updates fused into one compiled call, and between two rows of metrics; 100 to 5000."""
    checkpoint_every: int = 5_000
    """Updates between two checkpoints; a multiple of log_every."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.checkpoint_every % self.log_every:
            raise UserError(
                f"checkpoint_every is {self.checkpoint_every}: expected a multiple of log_every, {self.log_every}"
            )

    @property
    def snapshot_steps(self) -> tuple[int, ...]:
        """Updates after which the model is kept beside its end: 10 to 90 %, rounded down to the end of a block."""
        return self.ends_of_blocks(10, 20, 40, 60, 80, 90)

    @property
    def late_steps(self) -> tuple[int, ...]:
        """Those of them that are reported together with the end."""
        return self.ends_of_blocks(80, 90)

    def ends_of_blocks(self, *percents: int) -> tuple[int, ...]:
        """The last updates of the blocks that end at or before these percents of all, without 0."""
        blocks = {percent * self.num_updates // (100 * self.log_every) for percent in percents}
        return tuple(block * self.log_every for block in sorted(blocks) if block)


@dataclass(frozen=True)
class PolicyConfig(Checked):
    """Phase 1, the base policy."""

    chunk_length: int = 1
    """Actions per chunk, h; 1 to 10."""
    seed: int = 0
    """Seed of the network and of its training; 0 to 2^31 - 1."""
    solver: str = "euler"
    """How the flow is solved: euler (the paper's) or adams, second order at the same cost."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


@dataclass(frozen=True)
class CriticConfig(Checked):
    """Phase 2, the reward-to-go critic. `target`, its steps and its control variate are for the flow only."""

    kind: str = "flow"
    """How the law is represented: flow (EVOR), scalar, gaussian, c51, hl_gauss, qr_dqn or iqn; or a single value that
    improves on the base policy: best_of_n (Q-chunking), expectile (IFQL)."""
    target: str = "bootstrap"
    """The flow's regression target: velocity (the paper's), bootstrap, coupled, dcfm or mc."""
    control_variate: float = 0.0
    """Share lambda of the target field's own velocity in the `coupled` target; 0 (unbiased) to 1."""
    num_atoms: int = 51
    """Atoms of c51 and hl_gauss, quantiles of qr_dqn; 11 to 201."""
    num_target_steps: int = 10
    """Steps in flow time of the target network's flow; 5 to 20."""
    solver: str = "euler"
    """How the return flow is solved: euler (the paper's) or adams, second order at the same cost."""
    n_step: int = 1
    """Rewards of the data per backup, n >= chunk_length; 1 to 50."""
    num_bank_draws: int = 1
    """Draws of the base policy per state for the next action; 0: the data's own next action; 1 to 32. For best_of_n
    and `next_draw` best they are the N of which the best is taken."""
    next_draw: str = "any"
    """Which of these draws a backup takes: any, so that the law is the base policy's (EVOR), or the best by the mean of
    its law, so that it is the law of a policy that improves on the base policy (Q-chunking's idea)."""
    num_members: int = 1
    """Critics in the ensemble; 1 to 10."""
    seed: int = 0
    """Seed of the network and of its training; 0 to 2^31 - 1."""
    combine: str = "mean"
    """How members agree on a law, quantile by quantile: mean or min."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.takes_best_draw and self.num_bank_draws == 0:
            raise UserError(
                "num_bank_draws is 0: expected at least 1 for backups that take the best draw (kind best_of_n, or "
                "next_draw best), whose N it is; set it to 4 or 32"
            )
        if self.kind == "expectile" and self.next_draw == "best":
            raise UserError("next_draw is 'best': expected 'any' for expectile, whose backups take no draw")

    @property
    def takes_best_draw(self) -> bool:
        """Whether a backup takes the best of the bank's draws."""
        return self.kind == "best_of_n" or self.next_draw == "best"

    @property
    def label(self) -> str:
        """What tells critics apart in names and legends: the flow's target, or the kind."""
        return self.target if self.kind == "flow" else self.kind


@dataclass(frozen=True)
class Setting(Checked):
    """Phase 3, how an action is chosen; moving it needs no training."""

    num_candidates: int = 32
    """N_pi, candidates from the base policy; 1 (the base policy) to 128."""
    tau_r: float = 3.0
    """Value temperature in units of return; small: the law's upper tail, large: its mean; 0.1 to 100, inf allowed."""
    tau_q: float = 0.3
    """Selection temperature in units of return; 0: best-of-N, large: the base policy; 0 to 100."""
    num_returns: int = 16
    """N, atoms of each candidate's law; 1 to 64."""


@dataclass(frozen=True)
class EvaluationConfig(Checked):
    """Rollouts."""

    num_episodes: int = 50
    """Episodes per setting, on the same seeds for all settings; 50 for a reported number."""
    seed: int = 10_000
    """Seed of the first episode; the others follow. Tune on other seeds than the reported ones."""
    num_envs: int = 8
    """Environments that run at the same time, spread over one process per core."""


@dataclass(frozen=True)
class ExactConfig(Checked):
    """Critics on processes whose return law is known exactly."""

    critic: CriticConfig
    num_seeds: int = 5
    """Critics trained side by side; 5 for a reported number."""


@dataclass(frozen=True)
class Config(Checked):
    """One experiment: data, the three phases and their evaluation."""

    data: DataConfig = field(default_factory=DataConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    setting: Setting = field(default_factory=Setting)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    num_flow_steps: int = 10
    """Steps in flow time of both flows when the agent acts and when the action bank is drawn; 5 to 50."""
    num_devices: int = 1
    """Devices (GPUs) that each batch of a training is spread over; no part of a run's identity."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.critic.n_step < self.policy.chunk_length:
            chunk_length = self.policy.chunk_length
            raise UserError(f"n_step is {self.critic.n_step}: expected at least the chunk_length, {chunk_length}")
        if self.critic.kind == "best_of_n" and self.critic.n_step > self.policy.chunk_length:
            chunk_length = self.policy.chunk_length
            raise UserError(
                f"n_step is {self.critic.n_step}: expected the chunk_length, {chunk_length}, for best_of_n, because "
                f"the data's actions after the chunk are not the best of N; set critic.n_step to {chunk_length}"
            )


Phase = TypeVar("Phase", PolicyConfig, CriticConfig)


# Settings that came later, each at the value that means what was done before: left out of records, so that the runs of
# before keep their names and are found.
LATER = {"num_obs_frequencies": 0, "obs_units": "each", "next_draw": "any"}


def to_record(phase: PolicyConfig | CriticConfig) -> dict[str, Any]:
    """What names the runs of a phase: its settings as JSON, but for later ones that change nothing."""
    record = asdict(phase)
    return _without_later({**record, "network": _without_later(record["network"])})


def from_record(kind: type[Phase], record: dict[str, Any]) -> Phase:
    """A phase's configuration, back from what `to_record` made of it."""
    return kind(**{**record, "network": NetworkConfig(**record["network"]), "train": TrainConfig(**record["train"])})


def _without_later(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if (name, value) not in LATER.items()}
