"""The ant's actor in NumPy: from joints and a direction to the distribution of the action, for one state at a time.

It is evaluated once per step of the physics, in processes that do not load JAX.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from evor_eqx.errors import UserError
from evor_eqx.system.files import sha256

ACTOR_FILE = Path(__file__).with_name("ant_actor.npz")  # what made it stands in `ant_actor.json`
ACTOR_SHA256 = "1a9879e5fea49925f2800adeab2f18891f4cc8e5f0d541cbad2b0645f9e0a884"
_GELU = np.float32(np.sqrt(2 / np.pi))


@dataclass(frozen=True)
class AntActor:
    """A multi-layer perceptron with GELU (JAX's tanh form); its outputs are the mean and log std before tanh.

    **Arguments:**

    - `layers`: for each layer its weights [out, in] and biases [out], float32.
    """

    layers: tuple[tuple[np.ndarray, np.ndarray], ...]

    @classmethod
    def read(cls, path: Path) -> "AntActor":
        """The actor of a file that `write` wrote."""
        with np.load(path) as file:
            num_layers = len(file.files) // 2
            return cls(tuple((file[f"weight_{k}"], file[f"bias_{k}"]) for k in range(num_layers)))

    def write(self, path: Path) -> None:
        """Write all layers to an `.npz` file, without compression."""
        arrays = {f"weight_{k}": weight for k, (weight, _) in enumerate(self.layers)}
        np.savez(path, allow_pickle=False, **arrays, **{f"bias_{k}": bias for k, (_, bias) in enumerate(self.layers)})

    def distribution(
        self, obs: Float[np.ndarray, " obs"]
    ) -> tuple[Float[np.ndarray, " act"], Float[np.ndarray, " act"]]:
        """Mean and log standard deviation of the Gaussian that tanh then squashes.

        **Arguments:**

        - `obs`: the physics without the place (27 numbers), then the unit direction (2 numbers).
        """
        x = obs.astype(np.float32)
        for weight, bias in self.layers[:-1]:
            x = _gelu(weight @ x + bias)
        weight, bias = self.layers[-1]
        mean, log_std = np.split(weight @ x + bias, 2)
        return mean, np.clip(log_std, -5, 2)

    def mean_action(self, obs: Float[np.ndarray, " obs"]) -> Float[np.ndarray, " act"]:
        """The action without noise, in (-1, 1)."""
        return np.tanh(self.distribution(obs)[0])

    def draw(self, obs: Float[np.ndarray, " obs"], rng: np.random.Generator) -> Float[np.ndarray, " act"]:
        """A draw of the action, in (-1, 1)."""
        mean, log_std = self.distribution(obs)
        return np.tanh(mean + np.exp(log_std) * rng.standard_normal(mean.shape, np.float32))


def shipped_actor() -> AntActor:
    """The trained actor that comes with the package. Raises UserError if its file is missing or damaged."""
    if not ACTOR_FILE.is_file():
        raise UserError(f"no file {ACTOR_FILE}: expected the ant's actor, which the package brings; reinstall evor_eqx")
    if (got := sha256(ACTOR_FILE)) != ACTOR_SHA256:
        raise UserError(f"damaged file {ACTOR_FILE}: got SHA-256 {got}, expected {ACTOR_SHA256}; reinstall evor_eqx")
    return AntActor.read(ACTOR_FILE)


def _gelu(x: np.ndarray) -> np.ndarray:
    return np.float32(0.5) * x * (1 + np.tanh(_GELU * (x + np.float32(0.044715) * x * x * x)))
