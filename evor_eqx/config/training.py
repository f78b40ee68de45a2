"""Networks, and how they are trained."""

from dataclasses import dataclass

from evor_eqx.errors import UserError
from evor_eqx.system.checked import Checked, one_of, within

MAX_SEED = 2**31 - 1


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
    num_state_frequencies: int = within(0, 16, 0)
    """Fourier features of the flow's state x: sin and cos of 2^k x for k below this; 0 (the paper's) to 5. They pay
    where distributions have many atoms."""


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
