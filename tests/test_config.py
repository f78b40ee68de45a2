"""Configurations: what is refused, what the presets promise, and records that can be read back."""

import contextlib
import dataclasses
import json
from dataclasses import replace

import jaxtyping
import numpy as np
import pytest

from evor_eqx.config import (
    Config,
    CriticConfig,
    DataConfig,
    EvaluationConfig,
    FieldConfig,
    InferenceConfig,
    NetworkConfig,
    PolicyConfig,
    TabularConfig,
    TrainConfig,
)
from evor_eqx.critics.categorical import C51Config
from evor_eqx.critics.ensemble import COMBINE
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.critics.registry import critic_config, critic_names
from evor_eqx.errors import UserError
from evor_eqx.nn.flow_matching import SOLVERS
from evor_eqx.presets import PRESETS, preset, tabular_preset, with_critic
from evor_eqx.runs.records import to_record
from evor_eqx.system.checked import from_record

CRITICS = [critic_config(name) for name in critic_names()]
FLOW = FlowConfig()
CLASSES = [
    DataConfig,
    NetworkConfig,
    FieldConfig,
    TrainConfig,
    PolicyConfig,
    *CRITICS,
    InferenceConfig,
    EvaluationConfig,
    TabularConfig,
    Config,
]
UNCHECKED = {"folder", "preset", "target", "next_draw"}  # a path, a name, and what has a check of its own


def made(kind, **values):
    """A configuration of the class, with a critic where one is needed."""
    needed = {"critic": FLOW} if any(each.name == "critic" for each in dataclasses.fields(kind)) else {}
    return kind(**{**needed, **values})


def ranges(kind):
    return [(each.name, each.metadata) for each in dataclasses.fields(kind) if "low" in each.metadata]


def choices(kind):
    return [(each.name, each.metadata["choices"]) for each in dataclasses.fields(kind) if "choices" in each.metadata]


@pytest.fixture
def unchecked_types():
    """As outside the tests, where no other than the configuration's own check looks at a value."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_configuration_refuses_values_out_of_range_by_name_value_and_range(kind, unchecked_types):
    for name, allowed in ranges(kind):
        low, high = allowed["low"], allowed["high"]
        beyond = [] if high == float("inf") else [high + 1]
        for wrong in (low - 1, *beyond, float("nan"), True, "many"):
            with pytest.raises(UserError) as error:
                made(kind, **{name: wrong})
            assert str(error.value) == f"{name} is {wrong}: expected {low} to {high}"
        for right in (low, high):
            with contextlib.suppress(UserError):  # of another field, which it must go with
                assert getattr(made(kind, **{name: right}), name) == right
    for name, names in choices(kind):
        with pytest.raises(UserError, match=f"{name} is 'no such': expected one of {', '.join(names)}"):
            made(kind, **{name: "no such"})


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_number_and_every_name_of_a_configuration_has_a_range_or_choices(kind):
    for each in dataclasses.fields(kind):
        value = getattr(made(kind), each.name)
        is_free = isinstance(value, bool) or dataclasses.is_dataclass(value)
        assert each.metadata or is_free or each.name in UNCHECKED, each.name


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TrainConfig(num_updates=0), ["num_updates", "0", "1 to"]),
        (lambda: TrainConfig(learning_rate=float("nan")), ["learning_rate", "nan"]),
        (lambda: TrainConfig(log_every=300, checkpoint_every=500), ["checkpoint_every", "500", "log_every", "300"]),
        (lambda: FlowConfig(target="td"), ["target", "td", "velocity, bootstrap, coupled, dcfm, mc"]),
        (lambda: FlowConfig(combine="max"), ["combine", "max", "mean, min"]),
        (lambda: critic_config("best_of_n")(num_bank_draws=0), ["num_bank_draws", "0", "1 to"]),
        (lambda: FlowConfig(next_draw="best", num_bank_draws=0), ["num_bank_draws", "0", "at least 1", "next_draw"]),
        (lambda: critic_config("expectile")(next_draw="best"), ["next_draw", "best", "any", "expectile"]),
        (lambda: critic_config("best_of_n")(next_draw="any"), ["next_draw", "any", "best", "best_of_n"]),
        (
            lambda: Config(policy=PolicyConfig(chunk_length=5), critic=critic_config("best_of_n")(n_step=25)),
            ["n_step", "25", "expected the chunk_length, 5", "set critic.n_step to 5"],
        ),
        (
            lambda: Config(policy=PolicyConfig(chunk_length=5), critic=FlowConfig(n_step=4)),
            ["n_step", "4", "expected at least the chunk_length, 5"],
        ),
        (lambda: InferenceConfig(num_candidates=0), ["num_candidates", "0"]),
        (lambda: InferenceConfig(tau_r=-1.0), ["tau_r", "-1"]),
        (lambda: NetworkConfig(depth=0), ["depth", "0"]),
        (lambda: preset("desktop"), ["desktop", "smoke, laptop, paper"]),
        (lambda: tabular_preset("desktop"), ["desktop", "smoke, laptop, paper"]),
        (lambda: preset("smoke", critic="sarsa"), ["sarsa", "flow, scalar"]),
    ],
)
def test_a_wrong_value_is_refused_by_name_value_and_what_is_expected(make, words):
    with pytest.raises(UserError) as error:
        make()
    for word in words:
        assert word in str(error.value)


def test_the_choices_of_a_field_are_what_the_library_has_for_it():
    assert dict(choices(CriticConfig))["combine"] == tuple(COMBINE)
    for kind in (FlowConfig, PolicyConfig):
        assert dict(choices(kind))["solver"] == tuple(SOLVERS)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("critic", critic_names())
def test_every_preset_is_legal_for_every_critic(name, critic):
    config, flow, tabular = preset(name, critic=critic), preset(name), tabular_preset(name, critic=critic)
    assert isinstance(config.critic, critic_config(critic)) and config.preset == name
    assert (config.policy, config.inference, config.evaluation) == (flow.policy, flow.inference, flow.evaluation)
    assert isinstance(tabular.critic, critic_config(critic))
    for mine, theirs in ((config.critic, flow.critic), (tabular.critic, tabular_preset(name).critic)):
        assert mine.train == theirs.train and mine.network.width == theirs.network.width
        assert mine.num_members == theirs.num_members
    needs = critic_config(critic).needs_n_step_of_chunk
    assert config.critic.n_step == (config.policy.chunk_length if needs else flow.critic.n_step)


@pytest.mark.parametrize("critic", critic_names())
def test_the_critics_own_defaults_win_over_those_of_the_preset_and_given_fields_over_both(critic):
    kind = critic_config(critic)
    own = kind()
    config = preset("smoke", critic=critic)
    if critic == "best_of_n":
        assert (config.critic.num_bank_draws, config.critic.next_draw) == (32, "best")
    assert config.critic.next_draw == own.next_draw
    assert preset("smoke", critic=critic, num_bank_draws=7, seed=3).critic.num_bank_draws == 7
    assert with_critic(preset("laptop"), critic, seed=3).critic.seed == 3


@pytest.mark.parametrize(
    ("critic", "field"), [("scalar", "target"), ("flow", "num_atoms"), ("c51", "solver"), ("iqn", "tau_r")]
)
def test_a_setting_that_a_critic_does_not_have_is_refused_with_the_list_of_those_it_has(critic, field):
    names = sorted(each.name for each in dataclasses.fields(critic_config(critic)))
    for make in (preset, tabular_preset):
        with pytest.raises(UserError) as error:
            make("smoke", critic=critic, **{field: 1})
        assert f"the critic {critic} has no setting {field}: expected some of {', '.join(names)}" in str(error.value)


def test_the_paper_preset_has_the_papers_sizes():
    """4 x 512, Adam at 3e-4, a million updates, N_pi = 32 (the paper's method summary)."""
    paper = preset("paper")
    for phase in (paper.policy, paper.critic):
        assert isinstance(phase.network, FieldConfig)
        assert (phase.network.depth, phase.network.width, phase.network.head_width) == (4, 512, 0)
        assert (phase.train.learning_rate, phase.train.num_updates) == (3e-4, 1_000_000)
    assert paper.inference.num_candidates == 32


def changed(kind):
    """A configuration of a critic in which fields of every level differ from their defaults."""
    config = kind(seed=2, num_members=3, n_step=7)
    network = replace(config.network, width=48, obs_units="common")
    return replace(config, network=network, train=replace(config.train, decay=True))


@pytest.mark.parametrize("name", critic_names())
def test_a_critics_record_is_json_and_reads_back(name):
    kind = critic_config(name)
    for config in (kind(), changed(kind), preset("smoke", critic=name).critic):
        record = to_record(config)
        unused = {"next_tau_r", "next_tau_q", "num_times"}  # soft draws only; more than one time only
        in_use = {each.name for each in dataclasses.fields(kind)} - unused
        assert record["kind"] == name and set(record) == {"kind", *in_use}
        assert from_record(kind, json.loads(json.dumps(record))) == config
    assert to_record(changed(kind)) != to_record(kind())


def test_fields_that_came_later_are_in_a_record_only_where_they_change_something():
    """So runs of before keep their names."""
    flow, network = critic_config("flow"), FieldConfig(num_state_frequencies=4)
    before, after = to_record(flow()), to_record(flow(num_times=4, network=network))
    assert "num_times" not in before and "num_state_frequencies" not in before["network"]
    assert after["num_times"] == 4 and after["network"]["num_state_frequencies"] == 4
    assert from_record(flow, before) == flow() and from_record(flow, after) == flow(num_times=4, network=network)
    policy = to_record(PolicyConfig(network=network))
    assert "num_state_frequencies" not in to_record(PolicyConfig())["network"]
    assert from_record(PolicyConfig, policy) == PolicyConfig(network=network)


def test_a_policys_record_is_json_and_reads_back():
    for config in (PolicyConfig(), PolicyConfig(3, solver="adams", network=FieldConfig(32, head_width=8))):
        record = to_record(config)
        assert "kind" not in record and from_record(PolicyConfig, json.loads(json.dumps(record))) == config


def test_a_record_of_other_fields_or_values_is_refused():
    record = to_record(C51Config())
    with pytest.raises(UserError, match="num_atoms is 1: expected 2 to 1001"):
        from_record(C51Config, {**record, "num_atoms": 1})
    with pytest.raises(TypeError, match="no_such_field"):
        from_record(C51Config, {**record, "no_such_field": 1})


def test_configurations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config(critic=FLOW).preset = "smoke"  # type: ignore[misc]


def test_snapshots_lie_at_the_ends_of_blocks_and_before_the_end():
    for num_updates, log_every, early, late in (
        (10_000, 500, (1000, 2000, 4000, 6000), (8000, 9000)),
        (600, 100, (100, 200, 300), (400, 500)),
        (40, 10, (10, 20), (30,)),
    ):
        config = TrainConfig(num_updates=num_updates, log_every=log_every, checkpoint_every=log_every)
        assert config.snapshot_steps == early + late and config.late_steps == late
    assert TrainConfig(num_updates=10, log_every=10, checkpoint_every=20).snapshot_steps == ()


def test_a_network_of_another_critics_class_is_refused():
    with pytest.raises(UserError, match="network is a FieldConfig: expected a NetworkConfig for the critic scalar"):
        critic_config("scalar")(network=FieldConfig())


def test_numbers_of_numpy_are_taken_as_pythons_own(unchecked_types):
    found = InferenceConfig(tau_r=np.float32(8), num_candidates=np.int64(4))
    assert (type(found.tau_r), type(found.num_candidates)) == (float, int) and found.tau_r == 8
    with pytest.raises(UserError, match=r"num_candidates is 4.0: expected a whole number, such as 4"):
        InferenceConfig(num_candidates=np.float32(4))
