"""Run folders: definition, machine and outputs of a training. A kill at any moment leaves all files complete.

runs/<group>/<kind>-<id>/   config.json      what defines the run; its hash is the id
                            manifest.json    data, versions, device, speed, status
                            metrics.jsonl    one row of scalars per fused block
                            checkpoint.eqx   a JSON header line, then the leaves of the training state
                            snapshot-<step>.eqx   the model after `step` updates, in the same format
                            results/         evaluations, one JSON line per episode
"""

import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np

from evor_eqx.errors import UserError
from evor_eqx.runs.checkpoints import checkpoint_digest, read_checkpoint, write_checkpoint
from evor_eqx.system import paths
from evor_eqx.system.arithmetic import changed_settings
from evor_eqx.system.files import short_hash
from evor_eqx.system.json_records import append_line, read_json, read_lines, write_json, write_lines
from evor_eqx.system.locks import lock

FORMAT = 1  # of the run folder; part of the id, so that a new format never reads an old folder
LIBRARIES = ("evor_eqx", "jax", "equinox", "optax", "ogbench", "mujoco", "gymnasium", "numpy")
_DATA_FACTS = ("dataset", "origin", "fingerprint", "task", "data_reward_timing", "seed")
State = TypeVar("State")
_STARTED = time.time() - time.monotonic()


@dataclass(frozen=True)
class Run:
    """One run folder. The same definition always gives the same folder."""

    path: Path
    definition: dict[str, Any] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, group: str, kind: str, definition: dict[str, Any]) -> "Run":
        """The run with this definition (a JSON-serialisable record). Its folder may not exist yet."""
        whole = {"format": FORMAT, "group": group, "kind": kind, **definition}
        if changed := changed_settings():
            whole["jax"] = changed
        return cls(paths.runs_dir() / group / f"{kind}-{short_hash(whole)}", whole)

    def open(self) -> "Run":
        """Create the folder with its definition if it is missing; returns the run. The run must come from `of`."""
        config = self.path / "config.json"
        if self.definition is not None and not config.exists():
            with lock(self.path):
                if not config.exists():
                    write_json(config, self.definition, self._of("config"))
        return self

    @classmethod
    def named(cls, name: str) -> "Run":
        """The run with this `name`."""
        return cls(paths.runs_dir() / name)

    @property
    def name(self) -> str:
        """`<group>/<kind>-<id>`, unique among the runs of a home folder."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def config(self) -> dict[str, Any]:
        """The definition of the run. Raises UserError if it is damaged, or that of another run."""
        found = read_json(path := self.path / "config.json", self._of("config"))
        if not self.path.name.endswith(f"-{short_hash(found)}"):
            raise UserError(f"misplaced file {path}: got the definition of another run; put the right file back")
        return found

    @property
    def manifest(self) -> dict[str, Any]:
        """Data, versions, device, speed and status; empty if nothing has run yet."""
        return read_json(self._manifest, self._of("manifest")) if self._manifest.exists() else {}

    @property
    def complete(self) -> bool:
        """Whether training has finished."""
        return self.manifest.get("status") == "complete"

    def begin(self, **facts: Any) -> None:
        """Mark the training as running in the manifest, and add the data, the machine and further `facts`."""
        data = {name: value for name, value in self.config.items() if name in _DATA_FACTS}
        self._note(**data, **environment(), **facts, status="running")

    def finish(self, **facts: Any) -> None:
        """Mark the training as finished in the manifest, and add further `facts`."""
        last = self._leaves(None)
        facts |= {"checkpoint": checkpoint_digest(last)} if last.exists() else {}
        self._note(**facts, num_rows=len(self._rows()), status="complete")

    def _note(self, **facts: Any) -> None:
        write_json(self._manifest, {**self.manifest, **facts}, self._of("manifest"))

    def hand_out(self, seed: int, to: "Run", kept: dict[int | None, Any]) -> None:
        """Copy the metrics and states of one seed of this multi-seed run into the folder of that seed's own run.

        Training the other run then resumes from this checkpoint and only has to finish it.

        **Arguments:**

        - `seed`: the index of the seed.
        - `to`: the seed's own run.
        - `kept`: this run's snapshots by step and, last, its checkpoint (None). Arrays have a leading axis of seeds.
        """
        rows = self._rows()
        to.begin(num_seeds=len(rows[0]["loss"]))
        to._write_rows({name: v[seed] if isinstance(v, list) else v for name, v in row.items()} for row in rows)
        for step, several in kept.items():
            to.save(jax.tree.map(lambda leaf: leaf[seed] if eqx.is_array(leaf) else leaf, several), step)

    def save(self, state: Any, step: int | None = None) -> None:
        """Write a checkpoint of a pytree. The earlier one is kept until the new one is complete.

        With `step`, write a snapshot, which later checkpoints do not replace.
        """
        write_checkpoint(self._leaves(step), state, self.name, step)

    def restore(self, like: State) -> State | None:
        """Read the checkpoint to resume from it. Removes later rows of metrics, which will be written again."""
        state = self.read(like)
        self._drop_metrics_after(-1 if state is None else state.num_updates)  # type: ignore[attr-defined]
        return state

    def read(self, like: State, step: int | None = None) -> State | None:
        """The checkpoint or, with `step`, a snapshot, in the structure of `like`; None if there is none.

        Raises UserError if the file is damaged, or whole but of another run, step or model. The checkpoint of a
        finished run must be the one that it finished with.
        """
        path, manifest = self._leaves(step), self.manifest
        if not path.exists():
            return None
        is_last = step is None and manifest.get("status") == "complete"
        return read_checkpoint(path, like, self.name, step, manifest.get("checkpoint") if is_last else None)

    def digest(self) -> str:
        """The SHA-256 of the checkpoint's leaves, as its header says it. Raises UserError if there is none."""
        return checkpoint_digest(self._leaves(None))

    def log(self, step: int, scalars: dict[str, Any]) -> None:
        """Append one row of metrics. Its time never goes back within a process, also if the clock does."""
        append_line(self._metrics, {"step": step, "time": _STARTED + time.monotonic(), **scalars}, self._of("metrics"))

    def metrics(self) -> dict[str, np.ndarray]:
        """All rows of metrics as columns, `step` first. Raises UserError if the file is damaged."""
        rows, manifest = self._rows(), self.manifest
        expected = manifest.get("num_rows", len(rows)) if manifest.get("status") == "complete" else len(rows)
        if expected and not self._metrics.exists():
            raise UserError(f"no file {self._metrics}: expected {expected} rows of metrics; put it back")
        if len(rows) != expected:
            raise UserError(
                f"damaged file {self._metrics}: got {len(rows)} rows, expected {expected}; delete its folder to train "
                "it again"
            )
        return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else {})}

    def updates_per_second(self, num_blocks: int | None = None, since: int = 0) -> float | None:
        """The median speed over the last `num_blocks` fused blocks, or all; None with fewer than two rows of metrics.

        A median leaves out compilation and pauses. Rows before the step `since` do not count: an earlier sitting may
        have been on another machine.
        """
        columns = self.metrics()
        counted = columns.get("step", np.empty(0)) >= since
        if counted.sum() < 2:
            return None
        seconds = np.diff(columns["time"][counted])
        rates = np.diff(columns["step"][counted])[seconds > 0] / seconds[seconds > 0]
        if len(rates) == 0:
            return None
        return float(np.median(rates if num_blocks is None else rates[-num_blocks:]))

    @property
    def _metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def _manifest(self) -> Path:
        return self.path / "manifest.json"

    def _leaves(self, step: int | None) -> Path:
        return self.path / ("checkpoint.eqx" if step is None else f"snapshot-{step}.eqx")

    def _of(self, what: str) -> str:
        return f"{what} of {self.name}"

    def _rows(self) -> list[dict[str, Any]]:
        return list(read_lines(self._metrics, self._of("metrics")))

    def _write_rows(self, rows: Iterable[dict[str, Any]]) -> None:
        write_lines(self._metrics, list(rows), self._of("metrics"))

    def _drop_metrics_after(self, step: int) -> None:
        self._write_rows(row for row in self._rows() if row["step"] <= step)


def all_runs() -> list[Run]:
    """All runs in the home folder, sorted by name."""
    return sorted((Run(path.parent) for path in paths.runs_dir().glob("*/*/config.json")), key=lambda run: run.name)


def environment() -> dict[str, Any]:
    """The versions and the device, on which results depend besides the run's definition."""
    return {
        "versions": {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()},
        "device": jax.devices()[0].device_kind,
        "platform": platform.platform(),
    }
