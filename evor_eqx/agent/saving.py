"""Saving and loading of agents: a folder with `agent.json` (configurations, checksums) and `weights.eqx`.

The weights of base policy and critic are saved bit for bit, because half precision changed Q* by more than the
candidates differ. `load_agent` looks for a folder, then in the home folder's `agents/`, then among the agents that come
with the package.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from evor_eqx.agent.agent import Agent
from evor_eqx.agent.selection import SelectionRule, candidate_weights, check_rule
from evor_eqx.config import CriticConfig, InferenceConfig, PolicyConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.critics.factory import blank_scale, make_critic
from evor_eqx.critics.registry import critic_config
from evor_eqx.data.bounds import ActionBounds
from evor_eqx.errors import UserError
from evor_eqx.policy import FlowPolicy, make_policy
from evor_eqx.runs.checkpoints import read_leaves
from evor_eqx.runs.records import to_record
from evor_eqx.system import paths
from evor_eqx.system.checked import from_record
from evor_eqx.system.code_identity import code_digest
from evor_eqx.system.files import replacing, sha256
from evor_eqx.system.json_records import read_json, write_json
from evor_eqx.system.locks import lock

RECORD, WEIGHTS = "agent.json", "weights.eqx"
_ENTRIES = {"policy", "critic", "inference", "selection", "bounds", "facts", "sha256"}


def save_agent(agent: Agent, folder: Path, others: Sequence[str] = ()) -> Path:
    """Write an agent into a folder; returns the folder.

    **Arguments:**

    - `agent`: the agent to write.
    - `folder`: where to; it is made if it is missing.
    - `others`: names of further files that lie in the folder already and belong to the agent. Their checksums are kept.

    **Raises:**

    UserError for an agent without a critic or without configurations, and for a critic that was trained together with
    those of other tasks, because its configuration cannot rebuild it.
    """
    policy_config, config = agent.policy_config, agent.critic_config
    if agent.critic is None or policy_config is None or config is None:
        raise UserError(
            "this agent cannot be saved: got no critic or no configuration of a model, expected a base policy and a "
            "critic with their configurations; give `critic`, `policy_config` and `critic_config`"
        )
    sizes = {"obs_size": agent.obs_size, "chunk_size": agent.policy.chunk_size}
    record = {
        "policy": {"config": to_record(policy_config), "sizes": sizes},
        "critic": {"config": to_record(config), "sizes": sizes},
        "inference": asdict(agent.inference),
        "selection": _rule_record(agent.selection),
        "bounds": None if agent.bounds is None else asdict(agent.bounds),
        "facts": {name: value for name, value in agent.facts.items() if name != "folder"},
    }
    blank = eqx.filter_eval_shape(lambda: _blank(record))
    if jax.tree.structure(blank) != jax.tree.structure((agent.policy, agent.critic)):
        raise UserError(
            "this agent cannot be saved: its critic was trained on one encoder with those of other tasks; "
            "train the critic of this task alone"
        )
    with lock(folder / RECORD):
        with replacing(folder / WEIGHTS) as temporary:
            eqx.tree_serialise_leaves(temporary, (agent.policy, agent.critic))
        write_json(folder / RECORD, record | {"sha256": {name: sha256(folder / name) for name in (*others, WEIGHTS)}})
    return folder


def load_agent(name: str | Path, *, selection: SelectionRule | None = None) -> Agent:
    """Load an agent by its folder, or by its name in the home folder's `agents/` or among those of the package.

    **Arguments:**

    - `name`: a folder that `Agent.save` or `evor pack` wrote, or a name, e.g. pointmaze-medium-navigate-task1.
    - `selection`: the selection rule, if the agent was saved with one of your own.

    **Raises:**

    UserError if there is no such agent, for a file that is missing or does not match its checksum, and for a critic,
    flow target or selection rule of your own that is not there, or whose code is not what it was saved with.
    """
    folder = find_agent(name)
    record = read_record(folder / RECORD)
    for file, expected in record["sha256"].items():
        if not (folder / file).is_file():
            raise UserError(f"no file {folder / file}: expected it beside {RECORD}; copy or pack the agent again")
        if (got := sha256(folder / file)) != expected:
            raise UserError(
                f"damaged file {folder / file}: got SHA-256 {got}, expected {expected}; copy it again from its "
                "source, or pack the agent again (`evor pack`; `make agents` for an agent of the package)"
            )
    rule = _rule(record["selection"], selection)
    blank = eqx.filter_eval_shape(lambda: _blank(record))
    whole = (folder / WEIGHTS).read_bytes()
    policy, critic = read_leaves(whole, blank, f"file {folder / WEIGHTS}", f"the models of {RECORD}")
    return Agent(
        policy,
        critic,
        InferenceConfig(**record["inference"]),
        rule,
        policy_config=from_record(PolicyConfig, record["policy"]["config"]),
        critic_config=critic_from_record(record["critic"]["config"]),
        facts={**record["facts"], "folder": str(folder)},
        bounds=ActionBounds.from_record(record["bounds"]),
    )


def read_record(path: Path) -> dict[str, Any]:
    """An agent's `agent.json`. One without a checksum, which somebody wrote by other means, is read, too.

    Raises UserError if it is damaged, or if it has other entries than `save_agent` writes.
    """
    record = read_json(path, optional_checksum=True)
    if set(record) != _ENTRIES or any(Path(name).name != name for name in record["sha256"]):
        raise UserError(
            f"wrong file {path}: got the entries {', '.join(sorted(record))}, expected "
            f"{', '.join(sorted(_ENTRIES))} and checksums of files beside it; pack or save the agent again"
        )
    return record


def find_agent(name: str | Path) -> Path:
    """The folder of a saved agent, as `load_agent` looks for it. Raises UserError if there is none."""
    places = [Path(name).expanduser(), paths.agents_dir() / name]
    places += [paths.shipped_dir() / each for each in (str(name), f"{name}-v0")]
    for folder in places:
        if (folder / RECORD).is_file():
            return folder
    shipped = sorted(path.parent.name for path in paths.shipped_dir().glob(f"*/{RECORD}"))
    raise UserError(
        f"no agent {str(name)!r}: expected a folder with {RECORD}, a name in {paths.agents_dir()}, or one of "
        f"{', '.join(shipped)}; `evor pack` writes one"
    )


def critic_from_record(record: dict[str, Any]) -> Any:
    """A critic's configuration, of its own class.

    Raises UserError if the user's code that it was made by is not registered, or is not the same any more.
    """
    own = record.get("code", {})
    try:
        config = from_record(critic_config(record["kind"]), record)
    except UserError as error:
        if not own:
            raise
        raise UserError(
            f"this critic was made by your own {' and '.join(own)}: got none of that name ({error}); run the code that "
            "registers it first"
        ) from None
    check_made_by(config, record)
    return config


def check_made_by(config: CriticConfig, record: dict[str, Any]) -> None:
    """Raise UserError if a critic's own code is not what its record says that it was made by."""
    got, expected = config.own_code(), record.get("code", {})
    if got != expected:
        raise UserError(
            f"this critic was made by other code of {' and '.join(expected) or record['kind']}: got {got}, expected "
            f"{expected}; run the code that it was made by, or train it again"
        )


def blank_policy(record: dict[str, Any], sizes: dict[str, Any]) -> FlowPolicy:
    """A policy of a recorded configuration, with meaningless weights, to read the recorded ones into."""
    return make_policy(from_record(PolicyConfig, record), **sizes, key=jax.random.key(0))


def blank_critic(config: CriticConfig, sizes: dict[str, Any]) -> AbstractCritic:
    """As `blank_policy`, for a critic, by its configuration."""
    return make_critic(config, **sizes, key=jax.random.key(0), scale=blank_scale())


def _rule_record(rule: SelectionRule) -> dict[str, str] | None:
    """What is noted of a selection rule of the user's own; None for EVOR's."""
    if rule is candidate_weights:
        return None
    name = getattr(rule, "__qualname__", repr(rule))
    return {"name": name, "code": code_digest(rule, f"selection rule {name}")}


def _rule(record: dict[str, str] | None, given: SelectionRule | None) -> SelectionRule:
    """The selection rule of a loaded agent: the given one, else EVOR's.

    Raises UserError if the agent was saved with a rule of the user's own and this one is not given.
    """
    if given is not None:
        check_rule(given)
    got = None if given is None else _rule_record(given)
    if record is not None and (got is None or record["code"] != got["code"]):
        said = "none" if got is None else f"{got['name']} with code {got['code']}"
        raise UserError(
            f"this agent was saved with the selection rule {record['name']} with code {record['code']}: got {said}; "
            f"give load_agent(..., selection={record['name']})"
        )
    return given or candidate_weights


def _blank(record: dict[str, Any]) -> tuple[FlowPolicy, AbstractCritic]:
    policy, critic = record["policy"], record["critic"]
    config = critic_from_record(critic["config"])
    return blank_policy(policy["config"], policy["sizes"]), blank_critic(config, critic["sizes"])
