"""Agents: all that acts, and the held-out data that explain it; from run folders, or shipped with the package.

A packed agent is a folder: `agent.json` (task, configuration, data, checksums), `weights.eqx` (base policy and critic,
bit for bit: half precision moved Q* by more than candidates differ in it) and `rows.npz` (some held-out episodes).
`evor pack` writes one; it needs no dataset and no training to be opened. Those in `shipped/` come with the package.
"""

import functools
import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from evor_eqx.agent.saving import blank_critic, blank_policy
from evor_eqx.config import Config, Setting
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.loading import load_arrays
from evor_eqx.data.sources import by_fingerprint
from evor_eqx.envs.tasks import Task, parse_task
from evor_eqx.errors import UserError
from evor_eqx.pipeline.loading import load_critic, load_policy
from evor_eqx.pipeline.stages import ensure_critic, ensure_policy
from evor_eqx.policy import FlowPolicy
from evor_eqx.runs.run import Run, all_runs, environment
from evor_eqx.system import paths
from evor_eqx.system.files import read_json, replacing, sha256, write_json
from evor_eqx.system.progress import note

SHIPPED = Path(__file__).resolve().parent / "shipped"
STRIDE = 25  # rows between two states to choose from
PACKED_EPISODES = 6  # held-out episodes of a packed agent
_PHYSICS = ("qpos", "qvel", "button_states")


class States(NamedTuple):
    """Some rows of a dataset, with the physics that belongs to them, so that rollouts can start there."""

    rows: Int[np.ndarray, " states"]
    physics: dict[str, Float[np.ndarray, "states _"]]  # qpos, qvel and, where there are buttons, button_states


@dataclass(frozen=True)
class Agent:
    """A base policy and a critic of one task, the setting that its sliders start from, and held-out rows."""

    name: str
    task: Task
    policy: FlowPolicy
    critic: AbstractCritic
    setting: Setting
    num_flow_steps: int
    dataset: OfflineDataset
    states: States
    facts: dict[str, Any]  # dataset, origin, fingerprint, and the runs or the command that it is from

    @property
    def chunk_length(self) -> int:
        """h, actions in a chunk."""
        return self.policy.chunk_size // self.dataset.act.shape[1]


class Entry(NamedTuple):
    """An agent that can be opened."""

    task: Task
    label: str
    load: Callable[[], Agent]


def catalogue() -> list[Entry]:
    """Every agent that can be opened: the shipped ones, the packed ones in the home folder's `agents/`, however deep,
    and those of its critic runs, by name.

    A run that is not finished is listed, too; opening it raises a UserError that says so. One whose record cannot be
    read is left out, and a note names the file.
    """
    shipped = sorted(SHIPPED.glob("*/agent.json"), reverse=True)  # a maze first: it is easiest to read
    others = sorted(paths.agents_dir().rglob("agent.json"))
    labels = ["shipped with the package"] * len(shipped)
    labels += [f"packed: {path.parent.relative_to(paths.agents_dir())}" for path in others]
    packed = [
        Entry(task, label, functools.partial(open_packed, path.parent))
        for path, label in zip(shipped + others, labels, strict=True)
        if (task := _task_in(path))
    ]
    runs = [run for run in all_runs() if run.path.name.startswith("critic-")]
    return packed + [
        Entry(task, run.path.name, functools.partial(of_run, run))
        for run in runs
        if (task := _task_in(run.path / "config.json"))
    ]


def _task_in(path: Path) -> Task | None:
    """The task that a record is about; None if it is about none (a critic of an exact process), or cannot be read."""
    try:
        record = read_json(path)
        return parse_task(record["task"]) if "task" in record else None
    except UserError as error:
        note(f"left out: {error}")
        return None


def of_task(task: Task, config: Config) -> Agent:
    """The agent of a configuration; trains what is missing."""
    ensure_policy(task.dataset, config)
    return of_run(ensure_critic(task, config).run, config.setting)


def of_run(run: Run, setting: Setting | None = None) -> Agent:
    """The agent of a critic's run folder. Raises UserError if it is not finished, or if its policy or data are gone."""
    if not run.complete:
        status = run.manifest.get("status", "empty")
        raise UserError(f"run {run.name} is {status}, expected a complete one: `evor train` with its settings ends it")
    config, task = run.config, parse_task(run.config["task"])
    policy = load_policy(Run.named(config["policy_run"]))
    arrays = load_arrays(by_fingerprint(config["dataset"], config["fingerprint"]), task, "val")
    facts = {name: config[name] for name in ("dataset", "origin", "fingerprint", "policy_run")} | {"run": run.name}
    return _agent(
        run.name, task, policy.model, load_critic(run).model, setting, config["num_flow_steps"], arrays, facts
    )


def pack(task: Task, config: Config, folder: Path) -> Path:
    """Write a task's agent into `folder`, with some held-out episodes; trains what is missing; returns its folder."""
    agent = of_task(task, config)
    runs = {"critic": Run.named(agent.facts["run"]), "policy": Run.named(agent.facts["policy_run"])}
    arrays = load_arrays(by_fingerprint(agent.facts["dataset"], agent.facts["fingerprint"]), task, "val")
    end = np.flatnonzero(arrays["valids"] == 0)[:PACKED_EPISODES][-1] + 1
    target = folder / task.name.replace("-singletask", "")
    with replacing(target / "rows.npz") as temporary:
        np.savez_compressed(
            temporary, allow_pickle=False, **_thinned({key: array[:end] for key, array in arrays.items()})
        )
    with replacing(target / "weights.eqx") as temporary:
        eqx.tree_serialise_leaves(temporary, (agent.policy, agent.critic))
    definition = {
        "task": task.name,
        "reward_timing": task.reward_timing,
        **{kind: {"config": run.config[kind], "sizes": run.manifest["sizes"]} for kind, run in runs.items()},
        "setting": asdict(config.setting),
        "num_flow_steps": config.num_flow_steps,
        "facts": agent.facts | {"versions": environment()["versions"]},
        "sha256": {name: sha256(target / name) for name in ("rows.npz", "weights.eqx")},
    }
    write_json(target / "agent.json", definition)
    return target


def open_packed(folder: Path) -> Agent:
    """The agent in a folder that `pack` wrote. Raises UserError for a file that is missing or was changed."""
    record = read_json(folder / "agent.json")
    for name, expected in record["sha256"].items():
        got = sha256(folder / name) if (folder / name).is_file() else "no file"
        if got != expected:
            raise UserError(
                f"damaged file {folder / name}: got SHA-256 {got}, expected {expected}; "
                "copy it again from where it came from, or pack it anew (`evor pack`; for a shipped one `make agents`)"
            )
    policy, critic = record["policy"], record["critic"]

    def like():
        return blank_policy(policy["config"], policy["sizes"]), blank_critic(critic["config"], critic["sizes"])

    leaves = io.BytesIO((folder / "weights.eqx").read_bytes())
    policy_model, critic_model = eqx.tree_deserialise_leaves(leaves, eqx.filter_eval_shape(like))
    with np.load(folder / "rows.npz", allow_pickle=False) as file:
        arrays = dict(file)
    task, setting = parse_task(record["task"], record["reward_timing"]), Setting(**record["setting"])
    name = f"{folder.name} (packed)"
    return _agent(name, task, policy_model, critic_model, setting, record["num_flow_steps"], arrays, record["facts"])


def _agent(name, task, policy, critic, setting, num_flow_steps, arrays, facts) -> Agent:
    dataset = OfflineDataset.from_arrays(arrays)
    thin = arrays if "state_rows" in arrays else _thinned(arrays)
    states = States(thin["state_rows"], {key: thin[key] for key in _PHYSICS if key in thin})
    sizes = policy.features.mean.shape[0], dataset.obs.shape[1]
    if sizes[0] != sizes[1]:
        raise UserError(f"{name} expects observations of size {sizes[0]}, its dataset has {sizes[1]}: not its dataset")
    return Agent(name, task, policy, critic, setting or Setting(), num_flow_steps, dataset, states, facts)


def _thinned(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows of a split as they are, but with physics only at every `STRIDE`-th transition: `state_rows`."""
    transitions = np.flatnonzero(arrays["valids"] > 0)
    rows = transitions[::STRIDE].astype(np.int32)
    kept = {key: array for key, array in arrays.items() if key not in (*_PHYSICS, "terminals")}
    return kept | {"state_rows": rows} | {key: arrays[key][rows] for key in _PHYSICS if key in arrays}
