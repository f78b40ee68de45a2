"""The paths of the flow targets, on a next-state flow known in closed form: s(z, t) = z, so psi_t(z) = z e^t."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.critics import flow_targets
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.critics.flow_targets import BellmanStep, coupled, dcfm, flow_target, register_flow_target
from evor_eqx.errors import UserError
from evor_eqx.nn import flow_matching

KEY = jax.random.key(0)
REWARD, DISCOUNT = -0.5, 0.9


def growing_step(control_variate=0.0, backup=lambda z: REWARD + DISCOUNT * z):
    def velocity(z, t):
        return z

    return BellmanStep(
        velocity=velocity,
        transport=lambda z, end=1.0: flow_matching.euler(velocity, z, 2000, end),
        backup=backup,
        mc_return=jnp.zeros(1),
        control_variate=control_variate,
    )


def pushed_key():
    """A key with which `dcfm` takes the pushed path, not its anchor."""
    return next(key for key in jax.random.split(KEY, 16) if not jax.random.bernoulli(jax.random.split(key)[1]))


def pushed_path(t, z_0=0.4, **options):
    z_t, vel = dcfm(growing_step(**options), jnp.array([z_0]), jnp.asarray(t, jnp.float32), key=pushed_key())
    return float(z_t[0]), float(vel[0])


def test_the_pushed_path_starts_at_the_noise_and_ends_at_the_backup():
    assert pushed_path(0.0)[0] == pytest.approx(0.4, abs=1e-6)
    # 2000 Euler steps of dz/dt = z are 2.5e-4 short of e, relatively.
    assert pushed_path(1.0)[0] == pytest.approx(REWARD + DISCOUNT * 0.4 * np.e, rel=1e-3)


def test_the_pushed_paths_velocity_is_its_slope():
    def path(t):
        z = 0.4 * np.exp(t)
        return (1 - t) * z + t * (REWARD + DISCOUNT * z)

    for t in (0.1, 0.5, 0.9):
        slope = (path(t + 1e-5) - path(t - 1e-5)) / 2e-5
        assert pushed_path(t) == pytest.approx((path(t), slope), rel=2e-3)


def test_where_the_backup_is_clipped_the_pushed_path_has_no_slope_from_it():
    z, t = 0.4 * np.exp(0.5), 0.5
    clipped = pushed_path(t, backup=lambda z: jnp.clip(REWARD + DISCOUNT * z, -1.0, -0.2))
    assert clipped == pytest.approx(((1 - t) * z - t * 0.2, -0.2 - z + (1 - t) * z), rel=2e-3)


def test_half_of_the_dcfm_examples_take_the_anchor():
    step, z_0, t = growing_step(), jnp.array([0.4]), jnp.array(0.5)
    points = jax.vmap(lambda key: dcfm(step, z_0, t, key=key)[0])(jax.random.split(KEY, 2000))
    # Standard error 0.011; the anchor's points are continuous, so only the pushed ones agree.
    assert np.mean(np.isclose(points, pushed_path(0.5)[0])) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("control_variate", [0.0, 0.5, 1.0])
def test_the_control_variate_trades_the_sample_for_the_fields_own_velocity(control_variate):
    z_0, t = 0.4, 0.25
    z_next = z_0 * np.e
    own = (1 - t) * z_0 + t * z_next  # s(z, t) = z at the next state's straight path
    expected = REWARD + DISCOUNT * z_next - z_0 + control_variate * DISCOUNT * (own - (z_next - z_0))
    z_t, vel = coupled(growing_step(control_variate), jnp.array([z_0]), jnp.array(t), key=KEY)
    assert float(vel[0]) == pytest.approx(expected, abs=1e-3)
    assert float(z_t[0]) == pytest.approx((1 - t) * z_0 + t * (REWARD + DISCOUNT * z_next), abs=1e-3)


@pytest.fixture
def own_targets(monkeypatch):
    """Targets that a test registers are forgotten after it."""
    monkeypatch.setattr(flow_targets, "TARGETS", dict(flow_targets.TARGETS))


def make_target(value):
    def own(step, z_0, t, *, key):
        return z_0, z_0 + value

    return own


def test_a_registered_target_is_found_by_its_name_and_defined_again_it_takes_its_own_place(own_targets):
    first, again = make_target(1.0), make_target(2.0)
    assert register_flow_target("mine")(first) is first and flow_target("mine") is first
    register_flow_target("mine")(again)  # as when a notebook's cell is run again
    assert flow_target("mine") is again
    assert FlowConfig(target="mine").label == "mine"


def test_a_name_that_is_taken_or_unknown_is_refused(own_targets):
    with pytest.raises(UserError, match="'bootstrap': there is one of this name already"):
        register_flow_target("bootstrap")(make_target(1.0))
    with pytest.raises(UserError, match="'mine': expected one of velocity, bootstrap, coupled, dcfm, mc"):
        FlowConfig(target="mine")
