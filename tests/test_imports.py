"""The public face: what the package gives by name, what it loads for it, and what a type checker sees of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import evor_eqx as evor

NAMES = [
    "parse_task",
    "Task",
    "preset",
    "Config",
    "PolicyConfig",
    "CriticConfig",
    "InferenceConfig",
    "fit",
    "train_policy",
    "train_critic",
    "evaluate",
    "Agent",
    "Decision",
    "load_agent",
    "explore",
    "OfflineDataset",
    "ReturnDistribution",
    "soft_value",
    "candidate_weights",
    "AbstractCritic",
    "tabular_benchmark",
    "UserError",
    "register_critic",
    "register_flow_target",
    "custom_task",
    "minari_task",
    "evaluate_offline",
    "versioned",
    "CriticInputs",
    "ReturnScale",
    "Batch",
]

# What a user writes, with nothing but public names; each line's type is known to a strict type checker.
SCRIPT = """# pyright: strict
import evor_eqx as evor

task: evor.Task = evor.parse_task("pointmaze-medium-navigate-task1")
config: evor.Config = evor.preset("smoke", critic="c51", num_atoms=51)
agent: evor.Agent = evor.fit(task, config).replace(num_candidates=8)
found = evor.evaluate(agent, task, num_episodes=4)
if found.success is not None:
    print(found.success.low)
print(found.returns.estimate, len(found.episodes), agent.inference.tau_r, config.critic.n_step)
critic: evor.AbstractCritic = evor.train_critic(task, config)
print(evor.load_agent("pointmaze-medium-navigate-task1").chunk_length, evor.__version__, critic)
for row in evor.tabular_benchmark(config, num_seeds=2):
    print(row.process, row.w1.high)


def rows(num: int) -> evor.OfflineDataset:
    return evor.OfflineDataset.from_arrays(observations=[[0.0]] * num, actions=[[0.5]] * num, rewards=[1.0] * num)


def watch(step: int, scalars: dict[str, object], model: object) -> None:
    print(step, scalars["loss"], model)


own: evor.CustomTask = evor.custom_task("mine", rows(8), rows(4), gamma=0.9, bounds=(0.0, 1.0))
other: evor.Task = evor.minari_task("some/dataset-v0")
print(own.describe(), evor.evaluate_offline(evor.fit(own, config, watch=watch), own, config).value.low, other.name)
"""


def test_every_public_name_is_there_and_others_are_refused():
    assert {*NAMES} <= {*evor.__all__}
    for name in evor.__all__:
        assert getattr(evor, name) is not None
    with pytest.raises(AttributeError, match="evor_eqx"):
        evor.decides  # noqa: B018
    assert evor.__version__.count(".") == 2


def test_the_package_alone_and_names_that_need_none_load_no_jax():
    code = "import sys, evor_eqx as e; e.parse_task('cube-single-play'), e.UserError, e.CriticConfig, e.register_critic"
    subprocess.run([sys.executable, "-c", f"{code}; sys.exit('jax' in sys.modules)"], check=True)


@pytest.mark.slow
def test_a_strict_type_checker_knows_the_public_names(tmp_path):
    script = tmp_path / "user.py"
    script.write_text(SCRIPT)
    command = [str(Path(sys.executable).with_name("pyright")), "--outputjson", "--pythonpath", sys.executable, script]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    found = json.loads(result.stdout)["generalDiagnostics"]
    assert [f"{each['range']['start']['line'] + 1}: {each['message']}" for each in found] == []
