"""Run folders: what was asked for, what ran it, what came of it; whole after a kill at any moment.

runs/<group>/<kind>-<id>/   config.json      what defines the run; its hash is the id
                            manifest.json    data, versions, device, speed, status
                            metrics.jsonl    one row of scalars per fused block
                            checkpoint.eqx   a JSON header line, then the leaves of the training state
                            snapshot-<step>.eqx   likewise, the model after so many updates
                            results/         evaluations, one JSON line per episode
"""

import hashlib
import io
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from evor_eqx.errors import UserError
from evor_eqx.system import paths
from evor_eqx.system.files import append_line, read_json, read_lines, replacing, short_hash, write_json, write_lines
from evor_eqx.system.locks import make_once

FORMAT = 1  # of the run folder; part of the id, so a new format never reads an old folder
LIBRARIES = ("evor_eqx", "jax", "equinox", "optax", "ogbench", "mujoco", "gymnasium", "numpy")
_DATA_FACTS = ("dataset", "origin", "fingerprint", "task", "data_reward_timing", "seed")
State = TypeVar("State")


@dataclass(frozen=True)
class Run:
    """One run folder. Opening the same definition twice gives the same folder."""

    path: Path

    @classmethod
    def of(cls, group: str, kind: str, definition: dict[str, Any]) -> "Run":
        """The folder of this definition (any JSON-serialisable record), whether it is there or not."""
        return cls(paths.runs_dir() / group / f"{kind}-{short_hash(_whole(group, kind, definition))}")

    @classmethod
    def open(cls, group: str, kind: str, definition: dict[str, Any]) -> "Run":
        """The folder of this definition, made if it is new."""
        run, whole = cls.of(group, kind, definition), _whole(group, kind, definition)
        config = run.path / "config.json"
        make_once(run.path, config.exists, lambda: write_json(config, whole))
        return run

    @classmethod
    def named(cls, name: str) -> "Run":
        """The folder of a run by its `name`."""
        return cls(paths.runs_dir() / name)

    @property
    def name(self) -> str:
        """`<group>/<kind>-<id>`, unique among the runs of a home folder."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def config(self) -> dict[str, Any]:
        """What defines the run."""
        return read_json(self.path / "config.json")

    @property
    def manifest(self) -> dict[str, Any]:
        """Data, versions, device, speed and status; empty if nothing has run yet."""
        path = self.path / "manifest.json"
        return read_json(path) if path.exists() else {}

    @property
    def complete(self) -> bool:
        """Whether training came to its end."""
        return self.manifest.get("status") == "complete"

    def train_once(self, train: Callable[[], object]) -> None:
        """Call `train`, which goes on where the folder's checkpoint is, unless training has come to its end.

        If another process or thread is training this run, wait for it instead.
        """
        make_once(self.path, lambda: self.complete, train)

    def begin(self, **facts: Any) -> None:
        """Say that training is under way, on which data and on what machine, with the facts worth keeping."""
        data = {name: value for name, value in self.config.items() if name in _DATA_FACTS}
        write_json(
            self.path / "manifest.json", {**self.manifest, **data, **environment(), **facts, "status": "running"}
        )

    def finish(self, **facts: Any) -> None:
        """Say that training came to its end, with the facts worth keeping."""
        facts["num_rows"] = len(list(read_lines(self._metrics)))
        write_json(self.path / "manifest.json", {**self.manifest, **facts, "status": "complete"})

    def hand_out(self, seed: int, to: "Run", kept: dict[int | None, Any]) -> None:
        """Give another run's folder all that one of several seeds, trained side by side in this one, came to.

        `kept` holds this run's snapshots and, last, its checkpoint (None) by step, with a leading axis of seeds. With
        the checkpoint in place, training the other run is only to finish it.
        """
        rows = list(read_lines(self._metrics))
        to.begin(num_seeds=len(rows[0]["loss"]))
        write_lines(to._metrics, [{name: v[seed] if isinstance(v, list) else v for name, v in r.items()} for r in rows])
        for step, several in kept.items():
            to.save(jax.tree.map(lambda leaf: leaf[seed] if eqx.is_array(leaf) else leaf, several), step)

    def save(self, state: Any, step: int | None = None) -> None:
        """Write a checkpoint of a pytree; the one before stays in place until this one is whole.

        With `step`, write a snapshot: what is to be kept of that many updates.
        """
        buffer = io.BytesIO()
        eqx.tree_serialise_leaves(buffer, state)
        header = {"sha256": hashlib.sha256(buffer.getbuffer()).hexdigest(), "num_bytes": buffer.tell()}
        with replacing(self._leaves(step)) as temporary, open(temporary, "wb") as file:
            file.write(json.dumps(header).encode() + b"\n")
            file.write(buffer.getbuffer())

    def restore(self, like: State) -> State | None:
        """As `read`, to go on from there: rows of metrics behind the checkpoint will be written again."""
        state = self.read(like)
        self._drop_metrics_after(-1 if state is None else state.num_updates)  # type: ignore[attr-defined]
        return state

    def read(self, like: State, step: int | None = None) -> State | None:
        """The checkpoint, or with `step` a snapshot, into the structure of `like`; None if there is none.

        Raises UserError if it is damaged.
        """
        path = self._leaves(step)
        if not path.exists():
            return None
        try:
            header, _, leaves = path.read_bytes().partition(b"\n")
            if json.loads(header)["sha256"] != hashlib.sha256(leaves).hexdigest():
                raise ValueError("its bytes do not match its checksum")
            return eqx.tree_deserialise_leaves(io.BytesIO(leaves), like)
        except Exception as error:
            raise UserError(f"damaged checkpoint {path} ({error}): delete its folder to train it again") from None

    def log(self, step: int, scalars: dict[str, Any]) -> None:
        """Append one row of metrics."""
        append_line(self._metrics, {"step": step, "time": time.time(), **scalars})

    def metrics(self) -> dict[str, np.ndarray]:
        """All rows of metrics as columns, `step` first. Raises UserError if they are damaged."""
        rows, manifest = list(read_lines(self._metrics)), self.manifest
        expected = manifest.get("num_rows", len(rows)) if manifest.get("status") == "complete" else len(rows)
        if len(rows) != expected:
            raise UserError(
                f"damaged file {self._metrics}: got {len(rows)} rows, expected {expected}; delete its folder to train "
                "it again"
            )
        return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else {})}

    def updates_per_second(self, num_blocks: int | None = None) -> float | None:
        """Median over fused blocks (the last `num_blocks`, or all), so that neither compilation nor a pause counts.

        None with fewer than two rows of metrics.
        """
        columns = self.metrics()
        if len(columns.get("step", ())) < 2:
            return None
        rates = np.diff(columns["step"]) / np.diff(columns["time"])
        return float(np.median(rates if num_blocks is None else rates[-num_blocks:]))

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def _leaves(self, step: int | None) -> Path:
        return self.path / ("checkpoint.eqx" if step is None else f"snapshot-{step}.eqx")

    def _drop_metrics_after(self, step: int) -> None:
        write_lines(self._metrics, [row for row in read_lines(self._metrics) if row["step"] <= step])


def all_runs() -> list[Run]:
    """Every run of the home folder, by name."""
    return sorted((Run(path.parent) for path in paths.runs_dir().glob("*/*/config.json")), key=lambda run: run.name)


def environment() -> dict[str, Any]:
    """What a result depends on besides its definition: versions and device."""
    return {
        "versions": {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()},
        "device": jax.devices()[0].device_kind,
        "platform": platform.platform(),
    }


def _whole(group: str, kind: str, definition: dict[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT, "group": group, "kind": kind, **definition}
