"""An agent on a task, beside held-out rows that explain it: what the explorer and the rollouts show.

`pack` writes one as a folder that needs no dataset and no training to be opened: a saved agent (`agent.saving`) with
`rows.npz`, some held-out episodes. Those in `shipped/` come with the package.
"""

import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from evor_eqx.agent.agent import Agent
from evor_eqx.agent.saving import load_agent, save_agent
from evor_eqx.config import Config
from evor_eqx.data.custom import CustomTask
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.loading import load_arrays
from evor_eqx.data.returns import recorded_returns
from evor_eqx.data.sources import by_fingerprint
from evor_eqx.envs.tasks import Task, parse_task
from evor_eqx.errors import UserError
from evor_eqx.evaluation.fitting import check_fits, with_agents_discount
from evor_eqx.pipeline.stages import ensure_agent
from evor_eqx.runs.run import environment
from evor_eqx.system.files import replacing
from evor_eqx.training.compilation import keep_compiled

STRIDE = 25  # rows between two states to choose from
PACKED_NUMBERS = 250_000  # in the rows of a packed agent: 6 episodes of one cube, 20 of a point maze
ROWS = "rows.npz"
_MOST_BYTES = 1 << 30  # of packed rows; some MB are usual
_PHYSICS = ("qpos", "qvel", "button_states")


class States(NamedTuple):
    """Some rows of a dataset, with the physics that belongs to them, so that rollouts can start there."""

    rows: Int[np.ndarray, " states"]
    physics: dict[str, Float[np.ndarray, "states _"]]  # qpos, qvel and, where there are buttons, button_states


@dataclass(frozen=True)
class Exhibit:
    """An agent, its task, and held-out rows of the task's dataset."""

    name: str
    agent: Agent
    task: Task
    dataset: OfflineDataset
    states: States

    @classmethod
    def of(cls, agent: Agent, task: Task, name: str | None = None) -> "Exhibit":
        """An agent with the held-out rows in its folder or, if there are none, with those of its dataset.

        Raises UserError if there are neither, and for an agent that was not made for the task.
        """
        keep_compiled()  # what explores or rolls out an agent compiles for seconds
        task = with_agents_discount(agent, task)
        folder = agent.facts.get("folder")
        if folder is not None and (Path(folder) / ROWS).is_file():
            arrays = _packed_rows(Path(folder) / ROWS)
        else:
            arrays = _held_out(agent, task)
        dataset, thin = OfflineDataset.from_compact(arrays), arrays if "state_rows" in arrays else _thinned(arrays)
        name = name or str(agent.facts.get("run", task.short_name))
        check_fits(agent, task, dataset.obs.shape[1], dataset.act.shape[1], on_data=True)
        states = States(thin["state_rows"], {key: thin[key] for key in _PHYSICS if key in thin})
        return cls(name, agent, task, dataset, states)

    @property
    def start(self) -> int:
        """The state to begin with: its recorded return is complete, and near the middle of the possible ones.

        The first one if no return is complete.
        """
        bounds = self.task.return_bounds
        returns = recorded_returns(self.dataset, self.task.gamma, bounds).at(self.states.rows)
        away = np.abs(returns.recorded - sum(bounds) / 2)
        return int(np.argmin(np.where(returns.is_complete, away, np.inf)))


def open_exhibit(folder: Path) -> Exhibit:
    """Open a folder that `pack` wrote. Raises UserError for a file that is missing or was changed."""
    agent = load_agent(folder)
    task = parse_task(agent.facts["task"], agent.facts.get("reward_timing", "pre"))
    return Exhibit.of(agent, task, f"{folder.name} (packed)")


def pack(task: Task, config: Config, folder: Path) -> Path:
    """Write a task's agent into `folder`, with some held-out episodes; trains what is missing; returns its folder."""
    agent = ensure_agent(task, config)
    arrays = _held_out(agent, task)
    target = packed_folder(folder, task)
    _write_rows(target / ROWS, arrays)
    facts = {**agent.facts, "reward_timing": task.reward_timing, "versions": environment()["versions"]}
    return save_agent(replace(agent, facts=facts), target, (ROWS,))


def packed_folder(folder: Path, task: Task) -> Path:
    """Where `pack` writes a task's agent."""
    return folder / task.name.replace("-singletask", "")


def repack(folder: Path) -> Path:
    """Write the held-out episodes of a packed agent anew, from the data that it was trained on; nothing is trained."""
    agent = load_agent(folder)
    task = parse_task(agent.facts["task"], agent.facts.get("reward_timing", "pre"))
    _write_rows(folder / ROWS, _held_out(agent, task))
    facts = {name: value for name, value in agent.facts.items() if name != "folder"}
    return save_agent(replace(agent, facts=facts), folder, (ROWS,))


def _write_rows(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write as many episodes as `PACKED_NUMBERS` allows, in their order.

    They are the first ones. If the task ended in none of these, they end with the first episode in which it did.
    """
    ends = np.append(-1, np.flatnonzero(arrays["valids"] == 0))
    width = sum(arrays[key][0].size for key in ("observations", "actions", "rewards", "masks", "valids"))
    num = max(1, int(np.searchsorted(ends[1:] + 1, PACKED_NUMBERS / width, side="right")))
    solved = np.flatnonzero((arrays["masks"] == 0) & (arrays["valids"] > 0))
    last = num if len(solved) == 0 else max(num, int(np.searchsorted(ends[1:], solved[0])) + 1)
    last = min(last, len(ends) - 1)
    rows = slice(ends[max(0, last - num)] + 1, ends[last] + 1)
    with replacing(file) as temporary:
        np.savez_compressed(
            temporary, allow_pickle=False, **_thinned({key: array[rows] for key, array in arrays.items()})
        )


def _packed_rows(file: Path) -> dict[str, np.ndarray]:
    """The rows that `pack` wrote. It may come from anywhere: objects in it are refused, and so is a bomb."""
    try:
        with zipfile.ZipFile(file) as archive:
            num_bytes = sum(part.file_size for part in archive.infolist())
        if num_bytes > _MOST_BYTES:
            raise ValueError(f"arrays of {num_bytes:,} bytes, which are more than {_MOST_BYTES:,}")
        with np.load(file, allow_pickle=False) as opened:
            return dict(opened)
    except (ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"wrong file {file}: got {error}, expected arrays of numbers that `evor pack` wrote; pack the agent again"
        ) from None


def _held_out(agent: Agent, task: Task) -> dict[str, np.ndarray]:
    """All held-out rows of the data that an agent was trained on, with actions as models see them."""
    if (made_for := agent.facts.get("dataset", task.dataset)) != task.dataset:
        raise UserError(
            f"the agent was made for {made_for}, expected one for {task.dataset}; give an agent of this task"
        )
    if isinstance(task, CustomTask):
        return task.source.rows["val"].to_compact()
    if "fingerprint" not in agent.facts:
        raise UserError("this agent does not name its data: expected an agent from a run folder, or a packed one")
    return load_arrays(by_fingerprint(agent.facts["dataset"], agent.facts["fingerprint"]), task, "val")


def _thinned(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows of a split as they are, but with physics only at every `STRIDE`-th transition: `state_rows`."""
    transitions = np.flatnonzero(arrays["valids"] > 0)
    rows = transitions[::STRIDE].astype(np.int32)
    kept = {key: array for key, array in arrays.items() if key not in (*_PHYSICS, "terminals")}
    return kept | {"state_rows": rows} | {key: arrays[key][rows] for key in _PHYSICS if key in arrays}
