"""Models and agents of finished runs."""

from typing import Any

from evor_eqx.agent.agent import Agent, models_digest
from evor_eqx.agent.saving import blank_critic, blank_policy, critic_from_record
from evor_eqx.config import CriticConfig, InferenceConfig, PolicyConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.data.bounds import ActionBounds
from evor_eqx.errors import UserError
from evor_eqx.policy import FlowPolicy
from evor_eqx.runs.run import Run
from evor_eqx.system.checked import from_record
from evor_eqx.training.fit import Trained, moving_average
from evor_eqx.training.update import init_state

_FACTS = ("task", "dataset", "origin", "fingerprint", "policy_run", "gamma")


def load_policy(run: Run, step: int | None = None) -> Trained[FlowPolicy]:
    """The base policy of a finished run, or its snapshot after `step` updates. Raises UserError if it is not there."""
    record, sizes = run.config["policy"], run.manifest["sizes"]
    train = from_record(PolicyConfig, record).train
    return Trained(moving_average(run, lambda: init_state(blank_policy(record, sizes), train), step), run)


def load_critic(run: Run, step: int | None = None, config: CriticConfig | None = None) -> Trained[AbstractCritic]:
    """The critic of a finished run, or its snapshot after `step` updates.

    `config` is its configuration, if it is known to be the run's. Raises UserError if the critic is not there, or if it
    was made by other code of the user's.
    """
    made_by: CriticConfig = config or critic_from_record(run.config["critic"])
    sizes = run.manifest["sizes"]
    return Trained(moving_average(run, lambda: init_state(blank_critic(made_by, sizes), made_by.train), step), run)


def load_run_agent(
    run: Run,
    inference: InferenceConfig | None = None,
    step: int | None = None,
    config: CriticConfig | None = None,
) -> Agent:
    """The agent of a critic's run folder, with the base policy that the critic learned from.

    **Arguments:**

    - `run`: the critic's run.
    - `inference`: the agent's inference settings; the defaults if not given.
    - `step`: updates of the critic, one of its snapshots; its end if not given.
    - `config`: as in `load_critic`.

    **Raises:**

    UserError if the run is not finished, or if its policy is gone.
    """
    if not run.complete:
        status = run.manifest.get("status", "empty")
        raise UserError(f"run {run.name} is {status}, expected a complete one: `evor train` with its settings ends it")
    critic_config = config or critic_from_record(run.config["critic"])
    policy = load_policy(Run.named(run.config["policy_run"]))
    check_policy(run, policy)
    critic = load_critic(run, step, critic_config).model
    return Agent(
        policy.model,
        critic,
        inference or InferenceConfig(),
        policy_config=from_record(PolicyConfig, policy.run.config["policy"]),
        critic_config=critic_config,
        facts=facts_of(run, policy.model, critic, step),
        bounds=bounds_of(policy.run),
    )


def base_agent(policy: Trained[FlowPolicy], inference: InferenceConfig, step: int | None = None) -> Agent:
    """A base policy as an agent without a critic; `step` is the snapshot that it is, None if it is the end."""
    facts = facts_of(policy.run, policy.model, None, step)
    return Agent(policy.model, None, inference, facts=facts, bounds=bounds_of(policy.run))


def check_policy(run: Run, policy: Trained[FlowPolicy]) -> None:
    """Raise UserError unless a critic's run learned from this training of its base policy."""
    found = policy.run.digest()
    if run.manifest.get("policy_sha256", found) != found:  # unknown in runs of before
        raise UserError(
            f"run {run.name}: got the base policy {policy.run.name}, which was trained again and came out different, "
            f"expected the one that this critic learned from; restore it, or delete {run.path} and train it again"
        )


def bounds_of(policy_run: Run) -> ActionBounds | None:
    """The action bounds of the data that a base policy learned from; None for OGBench's, which are -1 and 1."""
    return ActionBounds.from_record(policy_run.config.get("bounds"))


def facts_of(run: Run, policy: FlowPolicy, critic: AbstractCritic | None, step: int | None = None) -> dict[str, Any]:
    """What an agent of a run says of where it comes from: task, data, runs, digests of models and checkpoints."""
    config = run.config
    facts = {name: config[name] for name in _FACTS if name in config}
    runs = [run, Run.named(facts["policy_run"])] if "policy_run" in facts else [run]
    facts |= {
        "run": run.name,
        "models": models_digest(policy, critic),
        "checkpoints": {each.name: each.digest() for each in runs},
    }
    return facts if step is None else facts | {"step": step}
