"""A critic of one's own: registered, trained, in an ensemble; and what the registry refuses."""

import dataclasses
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from critics.examples import KEY, SCALE, example_of

from evor_eqx import distributions
from evor_eqx.config import Config, CriticConfig, NetworkConfig, TrainConfig
from evor_eqx.critics import registry
from evor_eqx.critics.base import AbstractCritic, CriticInputs, ReturnScale
from evor_eqx.critics.checks import check_critic
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.registry import critic_config, critic_names, register_critic
from evor_eqx.distributions import ReturnDistribution
from evor_eqx.errors import UserError
from evor_eqx.nn.factory import make_mlp
from evor_eqx.nn.mlp import MLP
from evor_eqx.presets import preset
from evor_eqx.runs.records import to_record
from evor_eqx.system.checked import from_record, within
from evor_eqx.training import update
from evor_eqx.types import Batch

NETWORK = NetworkConfig(width=8, depth=1)


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Critics that a test registers are forgotten after it; those of the package stay."""
    for name in critic_names():
        critic_config(name)
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))


class TwoPoints(AbstractCritic):
    """Monte-Carlo regression: two atoms, `spread` beside the predicted return."""

    network: MLP
    inputs: CriticInputs
    scale: ReturnScale
    spread: float = eqx.field(static=True)

    def loss(self, target, example, *, key):
        loss = jnp.square(self.network(self.inputs(example.obs, example.chunk))[0] - example.mc_return)
        return loss, {"loss": loss}

    def distribution(self, obs, chunk, num_returns, num_steps):
        value = self.network(self.inputs(obs, chunk))[0]
        return ReturnDistribution.of_equal_weights(value + self.spread * jnp.array([-1.0, 1.0]))


def register():
    """As a notebook's cell would do it, each time anew."""

    @register_critic("two_points")
    @dataclass(frozen=True)
    class TwoPointsConfig(CriticConfig):
        spread: float = within(0.0, 10.0, 0.5)

        def make(self, inputs, scale, *, key):
            return TwoPoints(make_mlp(self.network, inputs.size, 1, key=key), inputs, scale, self.spread)

    return TwoPointsConfig


def batch_of(num=8):
    """The same transition several times, with the recorded return 3."""
    example = dataclasses.replace(example_of(), mc_return=jnp.asarray(3.0), next_draws=None)
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * num), example)


@pytest.mark.parametrize("num_members", [1, 2])
def test_a_registered_critic_is_found_made_and_trained_alone_and_as_an_ensemble(num_members):
    register()
    config = critic_config("two_points")(network=NETWORK, num_members=num_members)
    critic = make_critic(config, obs_size=2, chunk_size=1, key=KEY, scale=SCALE)
    train = TrainConfig(num_updates=100, batch_size=8, learning_rate=1e-2, log_every=100, checkpoint_every=100)
    state = update.init_state(critic, train)
    step = eqx.filter_jit(update.update)
    losses = []
    for index in range(2):
        state, metrics = step(state, batch_of(), train, key=jax.random.fold_in(KEY, index))
        losses.append(float(metrics["loss"]))
    assert losses[1] < losses[0]
    found = state.model.distribution(jnp.ones(2), jnp.zeros(1), 2, 10)
    distributions.check_distribution(found.atoms, found.weights)
    np.testing.assert_allclose(np.diff(found.atoms), 1.0, rtol=1e-5)  # of two members, too: both have this spread
    if num_members == 2:
        members = [state.model.member(i).distribution(jnp.ones(2), jnp.zeros(1), 2, 10).atoms for i in range(2)]
        assert (members[0] != members[1]).all()
        np.testing.assert_allclose(found.atoms, np.mean(members, axis=0), rtol=1e-5)


def test_a_registered_critic_has_presets_a_record_and_a_name():
    own = register()
    assert critic_names()[0] == "flow" and critic_names()[-1] == "two_points"
    config = preset("smoke", critic="two_points", spread=2.0)
    assert isinstance(config, Config) and isinstance(config.critic, own)
    assert (config.critic.spread, config.critic.label, config.critic.num_members) == (2.0, "two_points", 2)
    assert to_record(config.critic)["kind"] == "two_points"
    assert from_record(own, to_record(config.critic)) == config.critic
    with pytest.raises(UserError, match=r"spread is 11.0: expected 0.0 to 10.0"):
        preset("smoke", critic="two_points", spread=11.0)


def test_a_class_of_the_same_qualified_name_takes_the_place_of_the_earlier_one():
    first, again = register(), register()
    assert first is not again and critic_config("two_points") is again


def of_another_name(name):
    @dataclass(frozen=True)
    class Another(CriticConfig):
        def make(self, inputs, scale, *, key):
            raise NotImplementedError

    return register_critic(name)(Another)


@pytest.mark.parametrize("name", ["flow", "best_of_n", "two_points"])
def test_a_name_that_is_taken_is_refused_and_keeps_its_critic(name):
    register()
    before = critic_config(name)
    with pytest.raises(UserError, match=f"{name!r}: there is one of this name already, .* choose another name"):
        of_another_name(name)
    assert critic_config(name) is before


@pytest.fixture
def unchecked_types():
    """As outside the tests, where annotations are not checked."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_what_has_no_make_or_is_no_configuration_is_refused(unchecked_types):
    @dataclass(frozen=True)
    class WithoutMake(CriticConfig):
        pass

    for wrong in (WithoutMake, TwoPoints, CriticConfig, WithoutMake()):
        with pytest.raises(UserError, match=r"'mine': got .*expected a subclass of CriticConfig that defines `make`"):
            register_critic("mine")(wrong)
    assert "mine" not in critic_names()


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"unknown critic 'sarsa': expected one of flow, scalar, .*expectile"):
        critic_config("sarsa")


def test_a_subclass_of_another_critics_configuration_may_have_a_name_of_its_own():
    """Its class attribute `kind` is its own; that of the class it extends stays."""
    scalar = critic_config("scalar")

    @register_critic("wider")
    @dataclass(frozen=True)
    class WiderConfig(scalar):
        width_factor: int = within(1, 4, 2)

    assert (WiderConfig.kind, scalar.kind) == ("wider", "scalar") and WiderConfig().label == "wider"
    assert isinstance(example_of(), Batch)


@pytest.mark.parametrize("name", ["c51", "hl_gauss", "qr_dqn"])
def test_an_own_critic_that_extends_one_with_fixed_atoms_passes_the_checks_before_a_training(name):
    """Those of C51 and HL-Gauss span the range of returns, which is not known yet."""

    @register_critic("finer")
    @dataclass(frozen=True)
    class FinerConfig(critic_config(name)):
        pass

    check_critic(FinerConfig(network=NETWORK), obs_size=2, chunk_size=1)


def test_an_own_field_that_has_the_name_of_a_later_one_is_recorded():
    """Built-in critics leave out later fields at the value that changes nothing; its own default is another."""

    @register_critic("often")
    @dataclass(frozen=True)
    class OftenConfig(CriticConfig):
        num_times: int = within(1, 10, 5)

        def make(self, inputs, scale, *, key):
            return TwoPoints(make_mlp(self.network, inputs.size, 1, key=key), inputs, scale, 1.0)

    for num in (1, 2, 5):
        config = OftenConfig(num_times=num)
        assert to_record(config)["num_times"] == num and from_record(OftenConfig, to_record(config)) == config
    flow = critic_config("flow")
    assert "num_times" not in to_record(flow()) and to_record(flow(num_times=2))["num_times"] == 2
    assert "num_state_frequencies" not in to_record(flow())["network"]
