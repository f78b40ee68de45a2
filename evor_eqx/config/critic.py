"""What all critics have. Settings that only one critic has are defined with it, in a subclass of `CriticConfig`."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from evor_eqx.config.training import MAX_SEED, NetworkConfig, TrainConfig
from evor_eqx.errors import UserError
from evor_eqx.system.checked import Checked, field_types, one_of, within
from evor_eqx.system.code_identity import code_digest, is_own


@dataclass(frozen=True)
class CriticConfig(Checked):
    """Phase 2: what all critics have. A subclass adds fields and `make`. `evor train --help` explains each field."""

    kind: ClassVar[str] = ""  # the registered name
    label_field: ClassVar[str] = "kind"  # the field that names the critic in run names and legends
    is_improver: ClassVar[bool] = False  # learns the value of a better policy than the base policy
    has_own_members: ClassVar[bool] = False  # its members learn from each other, so they are inside of one critic
    needs_n_step_of_chunk: ClassVar[bool] = False  # n_step must be the chunk_length
    next_draws: ClassVar[tuple[str, ...]] = ("any", "best", "soft")  # what `next_draw` may be

    n_step: int = within(1, 10_000, 1)
    """Rewards of the data per backup, n >= chunk_length; 1 to 100."""
    num_bank_draws: int = within(0, 1024, 1)
    """Draws of the base policy that are kept for each state of the data; 1 to 32. A backup takes one of them as its
    next chunk (see next_draw). 0: it takes the chunk that follows in the data."""
    num_bank_steps: int = within(1, 1000, 10)
    """Steps in flow time of the base policy's flow when these draws are made; 5 to 50."""
    next_draw: str = "any"
    """Which of these draws a backup takes. any: one at random; the critic learns the base policy's return distribution
    (EVOR). best: the draw with the highest mean; it learns that of a better policy (Q-chunking's idea). soft: one drawn
    by EVOR's own rule, softmax(Q*/tau_Q); it learns that of the policy that EVOR's rule gives."""
    next_tau_r: float = within(0.0, float("inf"), 3.0)
    """Value temperature of the soft draw, in units of return; only if next_draw is soft; 0.1 to 100, or inf."""
    next_tau_q: float = within(0.0, float("inf"), 0.3)
    """Selection temperature of the soft draw, in units of return; only if next_draw is soft; 0 to 100."""
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
        expected, got = field_types(type(self))["network"], type(self.network)
        if got is not expected:
            raise UserError(f"network is a {got.__name__}: expected a {expected.__name__} for the critic {self.kind}")
        if self.next_draw not in self.next_draws:
            expected = ", ".join(self.next_draws)
            raise UserError(f"next_draw is {self.next_draw!r}: expected one of {expected} for the critic {self.kind}")
        if self.chooses_draw and self.num_bank_draws == 0:
            raise UserError(
                f"num_bank_draws is 0: expected at least 1 if next_draw is {self.next_draw}; set it to 4 or 32"
            )

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
    def chooses_draw(self) -> bool:
        """Whether a backup chooses among the bank's draws, so that a better policy than the base policy is learned."""
        return self.next_draw != "any"

    @property
    def label(self) -> str:
        """The critic's name in run names and legends: the target of a flow, else the registered name."""
        return getattr(self, self.label_field)
