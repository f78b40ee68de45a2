"""Settings: what is refused, and what the presets promise."""

import dataclasses
import json
from dataclasses import replace

import pytest

from evor_eqx.config import (
    CHOICES,
    RANGES,
    Config,
    CriticConfig,
    NetworkConfig,
    PolicyConfig,
    Setting,
    TrainConfig,
    from_record,
    to_record,
)
from evor_eqx.critics.ensemble import COMBINE
from evor_eqx.critics.flow_targets import TARGETS
from evor_eqx.errors import UserError
from evor_eqx.nn.flow_matching import SOLVERS
from evor_eqx.presets import PRESETS, preset


def leaves(config):
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value)
        else:
            yield field.name, value


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TrainConfig(num_updates=0), ["num_updates", "0", "1 to"]),
        (lambda: TrainConfig(learning_rate=float("nan")), ["learning_rate", "nan"]),
        (lambda: CriticConfig(target="td"), ["target", "td", "velocity, bootstrap, coupled, dcfm, mc"]),
        (lambda: CriticConfig(combine="max"), ["combine", "max", "mean, min"]),
        (lambda: CriticConfig(kind="best_of_n", num_bank_draws=0), ["num_bank_draws", "0", "at least 1"]),
        (lambda: CriticConfig(next_draw="best", num_bank_draws=0), ["num_bank_draws", "0", "at least 1", "next_draw"]),
        (lambda: CriticConfig(kind="expectile", next_draw="best"), ["next_draw", "best", "any", "expectile"]),
        (
            lambda: Config(policy=PolicyConfig(chunk_length=5), critic=CriticConfig(kind="best_of_n", n_step=25)),
            ["n_step", "25", "expected the chunk_length, 5", "set critic.n_step to 5"],
        ),
        (lambda: Setting(num_candidates=0), ["num_candidates", "0"]),
        (lambda: Setting(tau_r=-1.0), ["tau_r", "-1"]),
        (lambda: NetworkConfig(depth=0), ["depth", "0"]),
        (lambda: preset("desktop"), ["desktop", "smoke, laptop, paper"]),
    ],
)
def test_a_wrong_value_is_refused_by_name_value_and_range(make, words):
    with pytest.raises(UserError) as error:
        make()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("name", PRESETS)
def test_every_number_of_a_preset_has_a_range_or_choices(name):
    for field, value in leaves(preset(name)):
        assert field in RANGES or field in CHOICES or isinstance(value, bool) or field == "folder", field


def test_the_choices_of_a_field_are_what_the_library_has_for_it():
    for field, has in (("target", TARGETS), ("combine", COMBINE), ("solver", SOLVERS)):
        assert [*CHOICES[field]] == [*has], field


def test_the_paper_preset_has_the_papers_sizes():
    """4 x 512, Adam at 3e-4, a million updates, N_pi = 32 (the paper's method summary)."""
    paper = preset("paper")
    for phase in (paper.policy, paper.critic):
        assert (phase.network.depth, phase.network.width, phase.network.head_width) == (4, 512, 0)
        assert (phase.train.learning_rate, phase.train.num_updates) == (3e-4, 1_000_000)
    assert paper.setting.num_candidates == 32


def test_a_phase_is_its_record_and_later_settings_leave_the_records_of_before_as_they_were():
    for phase in (PolicyConfig(chunk_length=3), CriticConfig(kind="c51", seed=2)):
        before = to_record(phase)
        assert set(before["network"]) == {"width", "depth", "use_layer_norm", "head_width", "num_frequencies"}
        later = replace(phase, network=replace(phase.network, num_obs_frequencies=2))
        assert to_record(later)["network"] == {**before["network"], "num_obs_frequencies": 2}
        for config in (phase, later):
            assert from_record(type(phase), json.loads(json.dumps(to_record(config)))) == config
    improving = CriticConfig(next_draw="best")
    assert to_record(improving) == {**to_record(CriticConfig()), "next_draw": "best"}
    assert from_record(CriticConfig, to_record(improving)) == improving


def test_configurations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1  # type: ignore[misc]
