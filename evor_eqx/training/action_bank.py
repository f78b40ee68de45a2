"""The action bank: draws of the frozen base policy at every row of a dataset, made once and kept with the policy.

The draws are a' ~ pi_base(. | x') in the Bellman target of every critic, task and seed. So a critic's update gathers
its next chunk instead of integrating the policy's flow. Each row has a key of its own, so the draws do not depend on
the block size. An interrupted bank is continued where it stopped.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from evor_eqx.config import CriticConfig
from evor_eqx.errors import UserError
from evor_eqx.policy import FlowPolicy
from evor_eqx.runs.run import Run
from evor_eqx.system.files import crc32, reserve
from evor_eqx.system.json_records import read_json, write_json
from evor_eqx.system.locks import lock
from evor_eqx.system.progress import bar
from evor_eqx.training.fit import Trained, phase_key

BLOCK = 512  # draws; 512 of 256 units stay in the processor's cache, larger blocks were up to 1.6 times slower
_SAVE_EVERY = 64  # blocks, some seconds


def action_bank(
    policy: FlowPolicy,
    obs: Float[np.ndarray, "rows obs"],
    num_draws: int,
    num_steps: int,
    path: Path,
    *,
    key: PRNGKeyArray,
    drawn_by: str = "",
) -> Float[np.ndarray, "rows draws chunk"]:
    """Open a bank, or make it if it does not exist. The array is memory-mapped.

    **Arguments:**

    - `policy`: the base policy.
    - `obs`: the observations of the rows.
    - `num_draws`: draws at each row.
    - `num_steps`: steps in flow time.
    - `path`: a .npy file. Its path identifies all that determines the draws (policy, split, `num_draws`, `num_steps`).
    - `key`: a random key.
    - `drawn_by`: a digest of the policy's weights, which is kept in the seal.

    **Raises:** UserError if the bank is damaged, or was drawn by other weights.
    """
    shape = (len(obs), num_draws, policy.chunk_size)
    if not path.exists():
        with lock(path):
            if not path.exists():
                _make(policy, obs, num_draws, num_steps, path, key, drawn_by)
    return _opened(path, shape, _seal_of(path, drawn_by), "r")


def _make(
    policy: FlowPolicy, obs: np.ndarray, num_draws: int, num_steps: int, path: Path, key: PRNGKeyArray, drawn_by: str
) -> None:
    """Write the rows into a partial file, renamed at the end. The seal beside it says how many rows are whole."""
    partial, seal = path.with_suffix(".partial"), path.with_suffix(".seal")
    shape, done, crc = (len(obs), num_draws, policy.chunk_size), 0, 0
    if partial.exists() and seal.exists():
        saved = _seal_of(path, drawn_by)
        bank, done, crc = _opened(partial, shape, saved, "r+"), saved["num_rows"], saved["crc32"]
    else:
        seal.unlink(missing_ok=True)  # of a bank that was deleted
        bank = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
        reserve(partial)
    with bar(len(obs), f"action bank {path.stem}", "row", done) as progress:
        for count, (start, block) in enumerate(_blocks(policy, obs, num_draws, num_steps, done, key), start=1):
            bank[start : start + len(block)] = block
            crc = crc32(block, crc)
            progress.update(len(block))
            if count % _SAVE_EVERY == 0:
                bank.flush()
                write_json(seal, {"num_rows": start + len(block), "crc32": crc, "drawn_by": drawn_by}, _of(path))
    bank.flush()
    write_json(seal, {"num_rows": len(obs), "crc32": crc, "drawn_by": drawn_by}, _of(path))
    partial.replace(path)


def _of(path: Path) -> str:
    return f"bank {path.stem} of {'/'.join(path.parent.parent.parts[-2:])}"


def _seal_of(path: Path, drawn_by: str) -> dict[str, Any]:
    seal = read_json(path.with_suffix(".seal"), _of(path))
    if seal.get("drawn_by", drawn_by) != drawn_by:  # not noted in banks of before
        raise UserError(
            f"action bank {path}: got draws of a base policy of other weights, expected those of the present one; it "
            f"was trained again or exchanged; restore the policy, or delete {path.parent} to draw again"
        )
    return seal


def _opened(path: Path, shape: tuple[int, ...], seal: dict[str, Any], mode: Literal["r", "r+"]) -> np.memmap:
    """Open the array in a file. Raises UserError unless its first rows are those that the seal was made for."""
    try:
        array = np.lib.format.open_memmap(path, mode)
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(f"got {array.dtype} of shape {array.shape}, expected float32 of shape {shape}")
        if crc32(array[: seal["num_rows"]]) != seal["crc32"]:
            raise ValueError("its bytes do not match the checksum in the .seal beside it")
    except ValueError as error:
        raise UserError(f"damaged action bank {path} ({error}): delete it and make it again") from None
    return array


def _blocks(
    policy: FlowPolicy, obs: np.ndarray, num_draws: int, num_steps: int, first: int, key: PRNGKeyArray
) -> Iterator[tuple[int, np.ndarray]]:
    """Draws at the rows from `first` on, in blocks. All have one size, so there is one compilation.

    A block is computed while the one before it is read.
    """
    size = max(1, BLOCK // num_draws)

    @eqx.filter_jit
    def sample(policy, states, rows):
        def one(state, row):
            return policy.sample(state, num_draws, num_steps, key=jax.random.fold_in(key, row))

        return jax.vmap(one)(states, rows)

    def begin(start):
        rows = np.minimum(np.arange(start, start + size), len(obs) - 1)
        return sample(policy, jnp.asarray(obs[rows]), jnp.asarray(rows))

    block = begin(first)
    for start in range(first, len(obs), size):
        block, drawn = begin(start + size), block
        yield start, np.asarray(drawn)[: len(obs) - start]


def bank_path(policy_run: Run, split: str, config: CriticConfig) -> Path:
    """The file of the base policy's draws at the rows of a split. Critics with equal draws and steps share it."""
    name = f"{split}-{config.num_bank_draws}draws-{config.num_bank_steps}steps.npy"
    return policy_run.path / "bank" / name


def ensure_bank(
    policy: Trained[FlowPolicy], obs: Float[np.ndarray, "rows obs"], split: str, config: CriticConfig
) -> Float[np.ndarray, "rows draws chunk"]:
    """The base policy's draws at the rows of a split. They are made if they are not there."""
    key = jax.random.fold_in(phase_key(3, policy.run.config["seed"]), split == "val")
    counts = (config.num_bank_draws, config.num_bank_steps)
    path = bank_path(policy.run, split, config)
    return action_bank(policy.model, obs, *counts, path, key=key, drawn_by=policy.run.digest())
