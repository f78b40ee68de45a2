"""Checkpoints: a JSON line that says what the leaves are of, with their checksum; then the leaves of a pytree."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx

from evor_eqx.errors import UserError
from evor_eqx.system.arithmetic import changed_settings
from evor_eqx.system.files import replacing
from evor_eqx.system.json_records import sealed, unsealed

State = TypeVar("State")


def write_checkpoint(path: Path, state: Any, run: str, step: int | None) -> None:
    """Write a pytree. The earlier file is kept until the new one is complete.

    **Arguments:**

    - `path`: the file.
    - `state`: the pytree.
    - `run`, `step`: the name of the run, and the updates of a snapshot; None for the state to resume from.
    """
    buffer = io.BytesIO()
    eqx.tree_serialise_leaves(buffer, state)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    header = sealed({"sha256": digest, "num_bytes": buffer.tell(), "run": run, "step": step})
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        file.write(buffer.getbuffer())


def read_checkpoint(path: Path, like: State, run: str, step: int | None, digest: str | None) -> State:
    """Read a pytree in the structure of `like`.

    **Arguments:**

    - `path`, `like`: the file and the structure.
    - `run`, `step`: what it must be of. Files from before these were noted are read, too.
    - `digest`: the SHA-256 that its leaves must have; any if None.

    **Raises:** UserError if it is damaged, of another run or step, not the one of this digest, or of another model.
    """
    header, _, leaves = path.read_bytes().partition(b"\n")
    try:
        said = json.loads(header)
        said = unsealed(said) if "checksum" in said else said  # headers of before have none
        is_whole = said["sha256"] == hashlib.sha256(leaves).hexdigest()
    except (ValueError, KeyError, TypeError):
        said, is_whole = {}, False
    for name, expected in {"run": run, "step": step}.items():
        if said.get(name, expected) != expected:
            raise UserError(
                f"checkpoint {path}: got one of {name} {said[name]}, expected one of {name} {expected}; put it back, "
                "or delete this folder to train it again"
            )
    if not is_whole:
        raise UserError(
            f"damaged checkpoint {path} (its bytes do not match its checksum): delete its folder to train it again"
        )
    if said["sha256"] != (digest or said["sha256"]):
        raise UserError(
            f"checkpoint {path}: got an earlier one, or one that was trained again, expected that of the finished run; "
            "put it back, or delete this folder to train it again"
        )
    return read_leaves(leaves, like, f"checkpoint {path}", f"the model of {run}")


def read_leaves(leaves: bytes, like: State, what: str, models: str) -> State:
    """The pytree of whole leaves. Raises UserError that names `what` if they do not fit `models`."""
    try:
        return eqx.tree_deserialise_leaves(io.BytesIO(leaves), like)
    except Exception as error:
        problem = str(error).partition("\n")[0]
        raise UserError(
            f"{what}: got a whole file that does not fit {models} ({problem}), expected one that does; it may be from "
            f"elsewhere, or this program has other settings of JAX ({changed_settings() or 'none'}): restore the file, "
            "or unset them"
        ) from None


def checkpoint_digest(path: Path) -> str:
    """The SHA-256 of a checkpoint's leaves, as its header says it. Raises UserError if there is none."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.readline())["sha256"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise UserError(f"no whole checkpoint {path}: put it back, or delete its folder to train it again") from None
