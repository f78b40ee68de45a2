"""An agent that was hardly trained, and the folder that it was packed into."""

from dataclasses import replace

import pytest
from tiny import TASK

from evor_eqx.pipeline import stages
from evor_eqx.presets import preset
from evor_eqx.zoo import exhibits


def _short(config):
    train = replace(config.policy.train, num_updates=20, log_every=10, checkpoint_every=20)
    return replace(config, policy=replace(config.policy, train=train), critic=replace(config.critic, train=train))


@pytest.fixture(scope="session")
def config():
    return _short(preset("smoke"))


@pytest.fixture(scope="module")
def trained(module_home, config):
    return exhibits.Exhibit.of(stages.ensure_agent(TASK, config), TASK)


@pytest.fixture(scope="module")
def packed(module_home, trained, config):
    return exhibits.pack(TASK, config, module_home / "shipped")
