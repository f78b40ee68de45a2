"""Preset and critic are read first; then a command has exactly that critic's settings."""

import re
import sys
from dataclasses import is_dataclass

import pytest

from evor_eqx.cli.main import COMMANDS
from evor_eqx.cli.parsing import _HELP, _errors_in_one_line, check_critic_settings, last_value, parse
from evor_eqx.config import NetworkConfig
from evor_eqx.critics.registry import critic_config, critic_names
from evor_eqx.errors import UserError
from evor_eqx.presets import PRESETS, preset

TASK = "pointmaze-medium-navigate-task1"


def config_of(*arguments):
    return parse(COMMANDS, ["train", TASK, *arguments]).config


def flags(text):
    return set(re.findall(r"--critic\.[a-z.-]+[a-z]", text))


def test_the_preset_decides_the_other_defaults(evor):
    _, laptop, _ = evor("train", "--preset", "laptop", "--help")
    _, paper, _ = evor("train", "--preset=paper", "--help")
    assert "(default: 1000000)" in paper and "(default: 1000000)" not in laptop


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("critic", critic_names())
def test_a_command_starts_from_the_preset_for_the_critic(name, critic):
    assert config_of("--preset", name, "--critic", critic) == preset(name, critic=critic)
    assert config_of(f"--critic={critic}", f"--preset={name}") == preset(name, critic=critic)


def test_without_flags_it_is_the_flow_on_a_laptop():
    assert config_of() == preset("laptop", critic="flow")


def test_flags_change_the_start_in_both_spellings():
    config = config_of("--preset", "smoke", "--critic", "qr_dqn", "--critic.num_atoms", "7", "--critic.n-step=60")
    assert config.critic == preset("smoke", critic="qr_dqn", num_atoms=7, n_step=60).critic
    config = config_of("--preset", "smoke", "--critic.network.head_width=0", "--critic.train.no-decay")
    assert config.critic.network.head_width == 0 and not config.critic.train.decay
    assert config_of("--inference.tau-r", "inf").inference.tau_r == float("inf")


def test_the_last_of_several_flags_counts_as_it_does_for_tyro():
    arguments = ["--critic", "flow", "--critic=scalar"]
    assert last_value(arguments, "--critic", "c51") == "scalar"
    assert last_value([], "--critic", "c51") == "c51"
    assert last_value(["--critic"], "--critic", "c51") == "c51"  # tyro says that a value is missing
    assert config_of(*arguments).critic.kind == "scalar"


@pytest.mark.parametrize("command", ["train", "evaluate", "pack"])
def test_help_lists_presets_critics_and_the_settings_of_the_chosen_critic(evor, command):
    _, out, _ = evor(command, "--help", "--critic", "c51")
    assert "--preset {" + ",".join(PRESETS) + "}" in out
    assert "--critic {" + ",".join(critic_names()) + "}" in out
    assert "--critic.num-atoms INT" in out and "--critic.target" not in out
    _, out, _ = evor(command, "--help")
    assert "--critic.num-atoms" not in out and "--critic.target STR" in out


def test_help_says_something_of_every_flag_that_is_no_group():
    start = preset("smoke")
    assert set(_HELP) - {"critic"} == {name for name, value in vars(start).items() if not is_dataclass(value)}


@pytest.mark.parametrize("flag", ["--critic.target", "--critic.network.head-width", "--critic.network.head_width"])
@pytest.mark.parametrize("form", ["{} 1", "{}=1"])
def test_a_setting_of_another_critic_is_refused_with_those_that_the_critic_has(evor, home, flag, form):
    code, out, err = evor("train", TASK, "--preset", "smoke", "--critic", "scalar", *form.format(flag).split())
    assert code == 2 and not out
    (line,) = err.splitlines()
    assert line.startswith(f"evor: the critic scalar has no setting {flag.replace('_', '-')}: expected")
    _, out, _ = evor("train", "--critic", "scalar", "--help")
    assert flags(line.partition("expected")[2]) == {name for name in flags(out) if ".no-" not in name}
    assert "--critic.n-step" in line
    assert not list(home.iterdir())


def test_settings_that_the_critic_has_are_accepted_in_all_spellings():
    scalar = critic_config("scalar")(network=NetworkConfig())
    good = [
        "--critic.n-step",
        "3",
        "--critic.n_step=3",
        "--critic.train.num-updates",
        "--critic.network.use-layer-norm",
    ]
    check_critic_settings([*good, "--critic.network.no-use-layer-norm", "--critic", "--policy.network.x"], scalar)
    for bad in ("--critic.no-n-step", "--critic.kind", "--critic.network", "--critic."):
        with pytest.raises(UserError, match=re.escape(bad)):
            check_critic_settings([bad], scalar)


BOXES = [
    """╭─ Value error ──────────────────────────────╮
│ \x1b[1;91mError parsing config.data:\x1b[0m seed is -1:     │
│ expected 0 or more.                        │
│ ────────────────────────────────────────── │
│ For full helptext, see evor train --help   │
╰────────────────────────────────────────────╯
""",
    """ Value error
 --------------------------------------------
  Error parsing config.data: seed is -1:
  expected 0 or more.
  --------------------------------------------
  For full helptext, see evor train --help

""",
]


@pytest.mark.parametrize("box", BOXES)
def test_what_tyro_says_in_a_box_is_said_in_a_line(box):
    with pytest.raises(UserError) as error, _errors_in_one_line():
        sys.stderr.write(box)
        sys.exit(2)
    assert str(error.value) == "data: seed is -1: expected 0 or more"


def test_what_is_said_beside_a_command_that_can_be_parsed_is_still_said(capsys):
    with _errors_in_one_line():
        sys.stderr.write("a warning\n")
    assert capsys.readouterr().err == "a warning\n"
    with pytest.raises(SystemExit), _errors_in_one_line():
        sys.exit(0)


@pytest.mark.parametrize(
    "given", ["train x --seed -1", "train x --preset tiny", "train x --critic no", "suite --no", "no"]
)
def test_every_error_of_a_command_line_names_the_help(given):
    name = given.split()[0]
    program = f"evor {name}" if name in COMMANDS else "evor"
    with pytest.raises(UserError, match=f"; see `{program} --help`$"):
        parse(COMMANDS, given.split())
