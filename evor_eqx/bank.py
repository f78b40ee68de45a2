"""The action bank: draws of the frozen base policy at every row of a dataset, made once and kept with the policy.

They stand for a' ~ pi_base(. | x') in the Bellman target of every critic, task and seed: a critic's update then gathers
its next chunk instead of integrating the policy's flow. Each row has a key of its own, so the draws do not depend on
the block size, and a bank that a kill cut off is taken up where it stopped.
"""

from collections.abc import Iterator
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from evor_eqx.files import read_json, write_json
from evor_eqx.leases import make_once
from evor_eqx.policy import FlowPolicy
from evor_eqx.progress import bar

BLOCK = 512  # rows; 512 of 256 units stay in the processor's cache, larger blocks were up to 1.6 times slower
_SAVE_EVERY = 64  # blocks, some seconds


def action_bank(
    policy: FlowPolicy,
    obs: Float[np.ndarray, "rows obs"],
    num_draws: int,
    num_steps: int,
    path: Path,
    *,
    key: PRNGKeyArray,
) -> Float[np.ndarray, "rows draws chunk"]:
    """The bank in `path`, a .npy file: opened if it is there, else made, in parts that survive a kill.

    The caller's path names all that determines the draws (policy, split, `num_draws`, `num_steps`); the array is read
    from disk as it is used.
    """
    make_once(path, path.exists, lambda: _make(policy, obs, num_draws, num_steps, path, key))
    return np.load(path, mmap_mode="r")


def _make(policy: FlowPolicy, obs: np.ndarray, num_draws: int, num_steps: int, path: Path, key: PRNGKeyArray) -> None:
    partial, progress_file = path.with_suffix(".partial"), path.with_suffix(".json")
    resumed = partial.exists() and progress_file.exists()
    done = read_json(progress_file)["num_rows_done"] if resumed else 0
    shape = (len(obs), num_draws, policy.chunk_size)
    bank = np.lib.format.open_memmap(partial, "r+" if resumed else "w+", np.float32, None if resumed else shape)
    with bar(len(obs), f"action bank {path.stem}", "row", done) as progress:
        for count, (start, block) in enumerate(_blocks(policy, obs, num_draws, num_steps, done, key), start=1):
            bank[start : start + len(block)] = block
            progress.update(len(block))
            if count % _SAVE_EVERY == 0:
                bank.flush()
                write_json(progress_file, {"num_rows_done": start + len(block)})
    bank.flush()
    partial.replace(path)
    progress_file.unlink(missing_ok=True)


def _blocks(
    policy: FlowPolicy, obs: np.ndarray, num_draws: int, num_steps: int, first: int, key: PRNGKeyArray
) -> Iterator[tuple[int, np.ndarray]]:
    """Draws at the rows from `first` on, in blocks of one size: one compilation for a dataset of any length."""

    @eqx.filter_jit
    def sample(policy, states, rows):
        def one(state, row):
            return policy.sample(state, num_draws, num_steps, key=jax.random.fold_in(key, row))

        return jax.vmap(one)(states, rows)

    for start in range(first, len(obs), BLOCK):
        rows = np.minimum(np.arange(start, start + BLOCK), len(obs) - 1)
        block = np.asarray(sample(policy, jnp.asarray(obs[rows]), jnp.asarray(rows)))
        yield start, block[: len(obs) - start]
