"""Training over eight CPU devices against the same training on one; the devices are those of a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.errors import UserError
from evor_eqx.training.sharding import over_devices, spread


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What `train_on_devices.py` found."""
    folder = tmp_path_factory.mktemp("devices")
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "EVOR_HOME": str(folder)}
    script = Path(__file__).parents[1] / "train_on_devices.py"
    subprocess.run([sys.executable, script, folder / "found.json"], check=True, env=environment)
    return json.loads((folder / "found.json").read_text())


@pytest.mark.fault
@pytest.mark.parametrize(("case", "num_devices"), [("batch", "2"), ("batch", "8"), ("host", "8"), ("seeds", "8")])
def test_losses_and_weights_are_those_of_one_device_but_for_rounding(found, case, num_devices):
    alone, spread_out = found[case]["1"], found[case][num_devices]
    assert (alone["devices"], spread_out["devices"]) == (1, int(num_devices))
    np.testing.assert_allclose(spread_out["losses"], alone["losses"], rtol=1e-4)
    np.testing.assert_allclose(spread_out["weights"], alone["weights"], rtol=1e-4)


@pytest.mark.fault
def test_gradients_are_all_that_travels_and_with_seeds_spread_nothing_does(found):
    assert found["collectives"] == {"batch": ["all-reduce"], "seeds": []}


@pytest.mark.fault
def test_a_training_over_devices_resumes_bit_for_bit(found):
    assert found["resumed"] == found["batch"]["8"]


def test_more_devices_than_there_are_and_a_batch_that_cannot_be_cut_are_refused():
    with pytest.raises(UserError, match=r"num_devices is 99: expected at most 1.*force_host_platform_device_count=99"):
        over_devices(99).__enter__()
    with pytest.raises(UserError, match="batch_size is 7: expected a multiple of num_devices, 2"):
        over_devices(2, batch_size=7).__enter__()


def test_on_one_device_nothing_is_spread():
    with over_devices(1, batch_size=7):
        assert spread(array := jnp.ones(3)) is array
