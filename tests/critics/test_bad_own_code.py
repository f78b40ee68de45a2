"""Bad files, critics, flow targets and selection rules of the user's own: each is refused in words, and nothing trains.

What is registered under a good name may still be wrong inside; it is refused when an experiment with it begins.
"""

import dataclasses
import sys
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agent.examples import OBS_SIZE, agent_of
from data.test_bad_own_data import as_for_a_user, case, dataset, refused, rows, task  # noqa: F401

from evor_eqx.agent.saving import load_agent
from evor_eqx.config import CriticConfig
from evor_eqx.critics import flow_targets, registry
from evor_eqx.critics.base import AbstractCritic, CriticInputs
from evor_eqx.critics.flow_targets import flow_target, register_flow_target
from evor_eqx.critics.registry import critic_config, critic_names, register_critic
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.envs.tasks import parse_task
from evor_eqx.pipeline.evaluation import evaluate
from evor_eqx.pipeline.experiment import fit
from evor_eqx.pipeline.offline_evaluation import evaluate_offline
from evor_eqx.presets import preset
from evor_eqx.training import loop
from evor_eqx.widgets.explorer.explorer import explore

AGENT, KEY, OBS = agent_of(), jax.random.key(0), np.zeros(OBS_SIZE, np.float32)


@pytest.fixture(autouse=True)
def own_registries(monkeypatch):
    """What a test registers is forgotten after it, and no training may begin."""
    for name in critic_names():
        critic_config(name)
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    monkeypatch.setattr(flow_targets, "TARGETS", dict(flow_targets.TARGETS))
    monkeypatch.setattr(loop, "fit", lambda *_, **__: pytest.fail("a training has begun"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("mine_bad", None)


# FILE:NAME.

SWING = "def swing():\n    "
FILES = [
    case("no file", ("swing", None), "mine_bad.py", "no file", "check its name"),
    case("no such name", ("sway", "swing = 1"), "mine_bad.py", "'sway'", "task"),
    case("an empty file", ("swing", ""), "mine_bad.py", "'swing'", "nothing of its own"),
    case("no syntax", ("swing", "def swing(:\n"), "mine_bad.py", "SyntaxError", "line 1", "mend it"),
    case("no text", ("swing", b"\x00\xff"), "mine_bad.py", "SyntaxError", "mend it"),
    case("raises", ("swing", "one = 1\none / 0"), "mine_bad.py", "ZeroDivisionError", "line 2", "mend it"),
    case("a missing import", ("swing", "import nowhere_at_all"), "mine_bad.py", "nowhere_at_all", "mend it"),
    case("a number", ("swing", "swing = 1"), "mine_bad.py:swing", "int", "task"),
    case("returns nothing", ("swing", SWING + "pass"), "mine_bad.py:swing", "NoneType", "task"),
    case("returns a name", ("swing", SWING + "return 'swing'"), "mine_bad.py:swing", "str", "task"),
    case("a function that raises", ("swing", SWING + "{}['x']"), "mine_bad.py:swing", "KeyError", "line 2"),
    case("an argument", ("swing", "def swing(level): pass"), "mine_bad.py:swing", "TypeError", "level"),
    case("a class", ("swing", "class swing: pass"), "mine_bad.py:swing", "got swing", "task"),
    case("no name", ("", "swing = 1"), "mine_bad.py", "FILE.py:NAME", "add the name"),
    case("a name with a dash", ("swing-up", "swing = 1"), "mine_bad.py:swing-up", "FILE.py:NAME"),
]


@pytest.mark.parametrize(("given", "words"), FILES)
def test_files_with_a_task(tmp_path, given, words):
    file, (name, text) = tmp_path / "mine_bad.py", given
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(words, parse_task, f"{file}:{name}")


@pytest.mark.parametrize("name", ["json", "numpy", "evor_eqx", "wave"])
def test_a_file_that_is_called_as_another_module(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("swing = 1")
    refused([f"{name}.py", f"another module {name!r}", "rename"], parse_task, f"{tmp_path / name}.py:swing")


def test_a_file_without_a_name(tmp_path):
    (tmp_path / "mine.py").write_text("swing = 1")
    refused(["mine.py", "FILE.py:NAME"], parse_task, str(tmp_path / "mine.py"))


# Names and classes that are registered.

WRONG_NAMES = ["", " ", "my critic", "my.critic", "my-critic", "2nd", "a/b", "ü", "x" * 41, "line\n", None, 3, ["a"]]


def straight(step, z_0, t, *, key):
    """A good target."""
    return (1 - t) * z_0 + t * step.mc_return, step.mc_return - z_0


def own_config(cls=object, qualname="Own", **members):
    """A configuration class of a module of the user's."""
    return dataclass(frozen=True)(bare_config(cls, qualname, **members))


def bare_config(cls=object, qualname="Own", **members):
    members = {"make": lambda self, inputs, scale, *, key: cls(inputs), "__module__": "mine", **members}
    return type(qualname, (CriticConfig,), members)


@pytest.mark.parametrize("name", WRONG_NAMES)
@pytest.mark.parametrize(
    ("register", "thing", "what"),
    [(register_critic, own_config(), "critic"), (register_flow_target, straight, "flow target")],
)
def test_names_that_cannot_be(register, thing, what, name):
    refused([f"name of a {what}", repr(name), "letters"], lambda: register(name)(thing))


@pytest.mark.parametrize(("register", "thing"), [(register_critic, own_config()), (register_flow_target, straight)])
def test_a_decorator_without_a_name(register, thing):
    refused(["name of a", "letters"], register, thing)


@pytest.mark.parametrize("name", ["flow", "scalar", "c51", "iqn", "best_of_n", "expectile"])
def test_the_names_of_the_packages_critics(name):
    before = critic_config(name)
    refused([f"critic {name!r}", "choose another"], register_critic(name), own_config())
    assert critic_config(name) is before


@pytest.mark.parametrize("name", ["velocity", "bootstrap", "coupled", "dcfm", "mc"])
def test_the_names_of_the_packages_targets(name):
    before = flow_target(name)
    refused([f"flow target {name!r}", "choose another name"], register_flow_target(name), straight)
    assert flow_target(name) is before


@pytest.mark.parametrize("other", [own_config(qualname="Other"), own_config(__module__="theirs")])
def test_a_critics_name_from_another_place(other):
    register_critic("own")(own_config())
    refused(["critic 'own'", "mine.Own", "choose another name"], register_critic("own"), other)


def test_a_targets_name_from_another_place():
    register_flow_target("own")(straight)
    refused(["flow target 'own'", "straight", "choose another name"], register_flow_target("own"), lambda: None)


def test_the_same_place_again_replaces():
    first, again = (register_critic("own")(own_config()) for _ in range(2))
    assert first is not again and critic_config("own") is again
    first, again = (register_flow_target("own")(eval("lambda step, z_0, t, *, key: (z_0, z_0)")) for _ in range(2))
    assert first is not again and flow_target("own") is again


CLASSES = [
    case("a function", straight, "critic 'own'", "straight", "subclass of CriticConfig"),
    case("no subclass", dataclass(type("Own", (), {})), "critic 'own'", "Own", "subclass of CriticConfig"),
    case("an instance", own_config()(), "critic 'own'", "Own", "subclass of CriticConfig"),
    case("the base", CriticConfig, "critic 'own'", "CriticConfig", "`make`"),
    case("no make", own_config(make=CriticConfig.make), "critic 'own'", "Own", "`make`"),
    case("no dataclass", bare_config(), "critic 'own'", "Own", "@dataclass(frozen=True)"),
    case("make is a number", own_config(make=1), "critic 'own'", "Own", "`make`"),
]


@pytest.mark.parametrize(("thing", "words"), CLASSES)
def test_what_is_no_configuration_of_a_critic(thing, words):
    refused(words, register_critic("own"), thing)


@pytest.mark.parametrize("thing", [1, "mc", None, (1, 2)])
def test_what_is_no_flow_target(thing):
    refused(["flow target 'own'", repr(thing), "function(step, z_0, t, *, key)"], register_flow_target("own"), thing)


def test_names_that_nobody_registered():
    refused(["critic", "'own'", "flow, scalar"], preset, "smoke", critic="own")
    refused(["target", "'own'", "bootstrap"], preset, "smoke", target="own")


# What is wrong inside: refused when the experiment begins.


def long_task(steps=15):
    """Two episodes that hold two chunks of the preset."""
    num, ends = 2 * steps, np.tile([0.0] * (steps - 1) + [1.0], 2)
    arrays = {"observations": np.random.default_rng(0).normal(size=(num, 2)), "actions": np.zeros((num, 2))}
    data = OfflineDataset.from_arrays(**arrays, rewards=np.ones(num), terminals=np.zeros(num), timeouts=ends)
    return task(train=data, validation=data)


def takes_python_numbers(step, z_0, t, *, key):
    return straight(step, z_0, t, key=key) if t > 0.5 else (z_0, z_0)


TARGETS = [
    case("one array", lambda step, z_0, t, *, key: z_0, "float32 (1,)"),
    case("three arrays", lambda step, z_0, t, *, key: (z_0, z_0, z_0), "(z_t, velocity)"),
    case("nothing", lambda step, z_0, t, *, key: None, "None"),
    case("a dictionary", lambda step, z_0, t, *, key: {"z_t": z_0, "velocity": z_0}, "'velocity'"),
    case("None as velocity", lambda step, z_0, t, *, key: (z_0, None), "None"),
    case("scalars", lambda step, z_0, t, *, key: (z_0[0], z_0[0]), "()"),
    case("a longer point", lambda step, z_0, t, *, key: (jnp.zeros(3), z_0), "(3,)"),
    case("a longer velocity", lambda step, z_0, t, *, key: (z_0, jnp.zeros(2)), "(2,)"),
    case("whole numbers", lambda step, z_0, t, *, key: (z_0, jnp.zeros(1, int)), "int32"),
    case("an index", lambda step, z_0, t, *, key: (z_0, z_0 > 0), "bool"),
    case("a misspelled field", lambda step, z_0, t, *, key: (z_0, step.back_up(z_0)), "AttributeError", "back_up"),
    case("no key", lambda step, z_0, t: (z_0, z_0), "TypeError", "key"),
    case("a Python condition", takes_python_numbers, "boolean"),
]


@pytest.mark.parametrize(("target", "words"), TARGETS)
def test_flow_targets_that_give_no_pair(target, words):
    register_flow_target("own", version="1")(target)
    refused(["flow target 'own'", *words], lambda: fit(long_task(), preset("smoke", target="own")))


class OwnCritic(AbstractCritic):
    """One weight, the mean return; `loss` and `distribution` of its subclasses are wrong."""

    inputs: CriticInputs
    weight: jax.Array = eqx.field(default_factory=lambda: jnp.zeros(()))

    def loss(self, target, example, *, key):
        loss = jnp.square(self.weight - example.mc_return)
        return loss, {"loss": loss}

    def distribution(self, obs, chunk, num_returns, num_steps):
        return ReturnDistribution.of_equal_weights(jnp.full(num_returns, self.weight))


def with_loss(loss):
    return type("Own", (OwnCritic,), {"loss": lambda self, target, example, *, key: loss(self.weight)})


def with_distribution(distribution):
    found = {"distribution": lambda self, obs, chunk, num, steps: distribution(self.weight, num)}
    return type("Own", (OwnCritic,), found)


def ragged(weight, num):
    return ReturnDistribution(jnp.zeros(num), jnp.zeros(num + 1))


def matrix(weight, num):
    return ReturnDistribution(jnp.zeros((num, 1)), jnp.zeros((num, 1)))


def empty(weight, num):
    return ReturnDistribution(jnp.zeros(0), jnp.zeros(0))


def nowhere(weight, num):
    return ReturnDistribution.of_equal_weights(jnp.full(num, weight / 0))


def weighted(*weights):
    return lambda weight, num: ReturnDistribution(jnp.zeros(len(weights)), jnp.array(weights))


CRITICS = [
    case("makes nothing", lambda inputs: None, "make", "NoneType", "AbstractCritic"),
    case("makes a network", lambda inputs: eqx.nn.Linear(2, 2, key=KEY), "make", "Linear", "AbstractCritic"),
    case("make raises", lambda inputs: inputs.length, "make", "AttributeError", "length"),
    case("a loss of two", with_loss(lambda w: (jnp.stack([w, w]), {"loss": w})), "loss", "(2,)", "scalar"),
    case("a loss alone", with_loss(lambda w: w), "loss", "scalar"),
    case("a loss of text", with_loss(lambda w: ("0", {"loss": w})), "loss", "str", "scalar"),
    case("no loss among metrics", with_loss(lambda w: (w, {"error": w})), "loss", "error", "metrics"),
    case("metrics of two", with_loss(lambda w: (w, {"loss": w, "two": jnp.zeros(2)})), "two", "(2,)", "scalar"),
    case("no metrics", with_loss(lambda w: (w, None)), "loss", "None", "metrics"),
    case("a loss that raises", with_loss(lambda w: w.nothing), "loss", "AttributeError", "nothing"),
    case("an array", with_distribution(lambda w, num: jnp.zeros(num)), "distribution", "ReturnDistribution"),
    case("a pair", with_distribution(lambda w, num: (w, w)), "distribution", "tuple", "ReturnDistribution"),
    case("scalars", with_distribution(lambda w, num: ReturnDistribution(w, w)), "distribution", "()", "[atoms]"),
    case("weights of another length", with_distribution(ragged), "distribution", "weights", "[atoms]"),
    case("a matrix", with_distribution(matrix), "distribution", ", 1)", "[atoms]"),
    case("weights of one each", with_distribution(weighted(1.0, 1.0, 1.0)), "distribution", "the sum 3", "the sum 1"),
    case("a negative weight", with_distribution(weighted(1.5, -0.5)), "distribution", "from -0.5", "at least 0"),
    case("a weight that is nan", with_distribution(weighted(jnp.nan, 1.0)), "distribution", "nan"),
    case("atoms that are nan", with_distribution(nowhere), "distribution", "atoms nan", "finite returns"),
    case("no atoms", with_distribution(empty), "distribution", "(0,)", "[atoms]"),
]


@pytest.mark.parametrize(("cls", "words"), CRITICS)
def test_critics_that_are_none(cls, words):
    register_critic("own", version="1")(own_config(cls))
    refused(["critic 'own'", *words], lambda: fit(long_task(), preset("smoke", critic="own")))


def test_episodes_that_are_too_short_for_the_presets_chunks():
    refused(["no episode holds two chunks of 5", "shorter chunks"], fit, task(), preset("smoke"))


# Agents.


def ones(value, tau_q):
    return jnp.ones_like(value)


RULES = [
    case("NaN", lambda value, tau_q: value * jnp.nan, "selection rule", "nan"),
    case("negative", lambda value, tau_q: jnp.zeros(8).at[:2].set(jnp.array([1.5, -0.5])), "selection rule", "-0.5"),
    case("a sum of five", ones, "selection rule", "sum of 5"),
    case("a sum of nothing", lambda value, tau_q: 0 * jnp.ones_like(value), "selection rule", "sum of 0"),
    case("beyond those that count", lambda value, tau_q: jnp.zeros(8).at[7].set(1.0), "selection rule", "sum of 0"),
    case("NumPy", lambda value, tau_q: np.eye(8)[np.argmax(value)], "selection rule", "TracerArrayConversionError"),
    case("one number", lambda value, tau_q: value[0], "selection rule", "()", "(8,)"),
    case("an index", lambda value, tau_q: jnp.argmax(value), "selection rule", "()", "(8,)"),
    case("too few", lambda value, tau_q: value[:3], "selection rule", "(3,)", "(8,)"),
    case("nothing", lambda value, tau_q: None, "selection rule", "None", "(8,)"),
    case("text", "greedy", "selection", "'greedy'", "function"),
    case("a number", 0.5, "selection", "0.5", "function"),
]


@pytest.mark.parametrize("method", ["act", "decide"])
@pytest.mark.parametrize(("rule", "words"), RULES)
def test_selection_rules(rule, words, method):
    refused(words, lambda: getattr(AGENT.replace(selection=rule), method)(OBS, key=KEY))


SHIPPED = "pointmaze-medium-navigate-task1"


def test_agents_that_cannot_be_loaded_saved_or_changed(tmp_path):
    refused(["no agent 'nowhere'", "agent.json", SHIPPED], load_agent, "nowhere")
    refused(["selection", "'greedy'", "function"], load_agent, SHIPPED, selection="greedy")
    refused(["cannot be saved", "no critic", "give `critic`"], AGENT.base_policy_agent().save, tmp_path / "agent")
    refused(["replace", "tau", "tau_q", "selection"], AGENT.replace, tau=1.0)


def test_no_rollouts_without_an_environment():
    refused(["task mine has no environment", "`make_env`"], evaluate, AGENT, task())


CALLS = [
    case("fit a name", lambda: fit("cube-single-play-task2", preset("smoke")), "task", "'cube-single", "parse_task"),
    case("fit with a preset's name", lambda: fit(task(), "smoke"), "config", "'smoke'", "preset('laptop')"),
    case(
        "evaluate the other way round", lambda: evaluate(task(), AGENT), "agent", "CustomTask", "expected Agent", "fit("
    ),
    case("explore a name", lambda: explore(AGENT, "cube"), "task", "'cube'", "parse_task"),
    case(
        "offline without a budget", lambda: evaluate_offline(AGENT, task(), None), "config", "None", "expected Config"
    ),
    case("a seed as key", lambda: AGENT.act(OBS, key=0), "key", "int 0", "jax.random.key(0)"),
    case("an old key", lambda: AGENT.act(OBS, key=jax.random.PRNGKey(0)), "key", "jax.random.key(0)"),
    case("keys of others", lambda: AGENT.act(OBS, key=jax.random.split(KEY, 2)), "key", "(2,)", "one per observation"),
    case("half a step", lambda: preset("smoke", n_step=5.0), "n_step", "5.0", "whole number"),
    case("a target as critic", lambda: preset("smoke", critic="coupled"), "unknown critic", "critic.target"),
    case("a task of no file", lambda: parse_task("mine:car"), "'mine:car'", "OGBench's", "FILE.py:NAME"),
    case("an own task's timing", lambda: parse_task("mine.py:car", "post"), "reward_timing", "'post'", "leave it out"),
]


@pytest.mark.parametrize(("call", "words"), CALLS)
def test_calls_with_something_else(call, words):
    refused(words, call)


def test_a_value_that_is_not_finite_at_an_observation_is_told():
    """Only where the first coordinate is large, so that no check before the training sees it."""

    class Sometimes(OwnCritic):
        def distribution(self, obs, chunk, num_returns, num_steps):
            atoms = jnp.full(num_returns, self.weight)
            return ReturnDistribution.of_equal_weights(jnp.where(obs[0] > 5, jnp.nan, atoms))

    critic = Sometimes(inputs=None)
    agent = dataclasses.replace(AGENT, critic=critic, critic_config=own_config()())
    assert np.isfinite(agent.act(OBS, key=KEY)).all()
    for ask in (agent.act, agent.decide):
        refused(["critic", "not finite at this observation", "mend"], ask, OBS + 9, key=KEY)


def test_a_class_has_one_name():
    cls = register_critic("own")(own_config())
    refused(["critic 'another'", "registered as 'own'", "register a subclass"], register_critic("another"), cls)


OBSERVATIONS = [
    case("too short", OBS[:-1], "(2,)", "[3]"),
    case("too long", np.zeros(4), "(4,)", "[3]"),
    case("a number", 1.0, "()", "[3]"),
    case("a batch of batches", np.zeros((2, 2, 3)), "(2, 2, 3)", "[batch, 3]"),
    case("a batch of other sizes", np.zeros((3, 4)), "(3, 4)", "[batch, 3]"),
    case("text", "left", "str", "numbers"),
    case("texts", ["left", "right", "up"], "list", "numbers"),
    case("None", None, "None", "numbers"),
    case("a dictionary", {"state": OBS}, "dict", "numbers"),
    case("what reset returns", (OBS, {}), "tuple", "numbers"),
    case("rows of different lengths", [[0.0], [0.0, 1.0]], "list", "numbers"),
    case("NaN", np.array([0.0, np.nan, 0.0], np.float32), "nan", "finite"),
    case("infinity", [0.0, 0.0, np.inf], "inf", "finite"),
]


@pytest.mark.parametrize("agent", [AGENT, AGENT.base_policy_agent()], ids=["agent", "base policy"])
@pytest.mark.parametrize(("obs", "words"), OBSERVATIONS)
def test_observations(agent, obs, words):
    refused(["observation", *words], agent.act, obs, key=KEY)
