"""Flows of several tasks on one encoder, against the same computation done task by task."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from scipy.stats import norm

from evor_eqx.config import FieldConfig, NetworkConfig
from evor_eqx.critics.base import AbstractCritic, ReturnScale
from evor_eqx.critics.categorical import C51Config
from evor_eqx.critics.ensemble import pick
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.critics.multitask import make_multitask_flow
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.pieces import of_tasks
from evor_eqx.errors import UserError
from evor_eqx.pipeline import evaluation, stages
from evor_eqx.runs.run import Run
from evor_eqx.training import update

NUM_TASKS, KEY = 3, jax.random.key(0)
CONFIG = FlowConfig(network=FieldConfig(width=16, depth=2, head_width=8), num_members=2)
SCALES = ReturnScale(*(jnp.array(row) for row in ([-5.0, 0.0, 3.0], [2.0, 1.0, 4.0], [-50.0] * 3, [50.0] * 3)))


def make(config=CONFIG):
    return make_multitask_flow(config, 2, 1, SCALES, key=KEY)


def dataset_of(task):
    rng = np.random.default_rng(0)
    valids = np.ones(40)
    valids[[19, 39]] = 0
    obs, act = rng.normal(size=(40, 2)), rng.normal(size=(40, 1))
    arrays = {"observations": obs, "actions": act, "valids": valids}
    arrays |= {"rewards": np.full(40, task + 1.0), "masks": np.arange(40) % (task + 5) > 0}
    return OfflineDataset.from_compact(arrays)


def windows_of(dataset, **options):
    return dataset.windows(gamma=0.9, num_steps=3, **options)


DATASETS = [dataset_of(task) for task in range(NUM_TASKS)]
WINDOWS = [windows_of(dataset) for dataset in DATASETS]


def naive_atoms(member, task, obs, chunk, num_returns, num_steps):
    """Atoms of one task's flow by hand: the shared encoder, then Euler's steps of the task's own head."""
    hidden = jax.nn.gelu(member.encoder.network(jnp.concatenate([obs, chunk])))
    cond = member.encoder.norm(hidden)
    head = pick(member.heads.field, task)
    z = norm.ppf((np.arange(num_returns) + 0.5) / num_returns)
    for step in range(num_steps):
        t = jnp.asarray(step / num_steps)
        z = z + np.array([head(jnp.array([each]), t, cond)[0] for each in z]) / num_steps
    return float(SCALES.shift[task]) + float(SCALES.scale[task]) * z


@pytest.mark.parametrize("num_members", [1, 2])
def test_each_task_is_a_critic_with_the_distribution_that_is_computed_by_hand(num_members):
    model, obs, chunk = make(dataclasses.replace(CONFIG, num_members=num_members)), jnp.array([0.3, -1.0]), jnp.ones(1)
    means = []
    for task in range(NUM_TASKS):
        critic = model.task(task)
        assert isinstance(critic, AbstractCritic)
        members = [naive_atoms(pick(model.members, m), task, obs, chunk, 8, 4) for m in range(num_members)]
        found = critic.distribution(obs, chunk, 8, 4)
        # The members' quantiles are averaged, each in rising order. float32 keeps four digits after four steps.
        np.testing.assert_allclose(
            np.sort(found.atoms), np.mean(np.sort(members, axis=1), axis=0), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(found.weights, 1 / 8)
        means.append(np.mean(members))
    assert np.ptp(means) > 1  # each has its own scale


def test_the_loss_is_the_mean_of_the_tasks_losses():
    model = make(dataclasses.replace(CONFIG, num_members=1))
    other = jax.tree.map(lambda leaf: leaf * 1.1 if eqx.is_inexact_array(leaf) else leaf, model)
    rows, zeros = jnp.array([4]), jnp.zeros(1, int)
    example, *examples = (
        jax.tree.map(lambda leaf: leaf[0], each.at(rows, zeros)) for each in (windows_of(of_tasks(DATASETS)), *WINDOWS)
    )
    shared, _ = model.loss(other, example, key=KEY)
    keys = jax.random.split(KEY, NUM_TASKS)
    alone = [model.task(task).loss(other.task(task), examples[task], key=keys[task])[0] for task in range(NUM_TASKS)]
    np.testing.assert_allclose(shared, np.mean(alone), rtol=1e-5)


def test_windows_of_several_tasks_are_theirs_side_by_side():
    batch = windows_of(of_tasks(DATASETS)).sample(20, key=KEY)
    host = windows_of(of_tasks(DATASETS), device_bytes=0).sample(20, key=KEY)
    jax.tree.map(np.testing.assert_array_equal, batch, host)
    for task, each in enumerate(WINDOWS):
        alone = each.sample(20, key=KEY)
        np.testing.assert_array_equal(batch.obs, alone.obs)
        for name in ("reward", "mask", "mc_return"):
            np.testing.assert_array_equal(getattr(batch, name)[:, task], getattr(alone, name))


def test_an_update_moves_every_task_and_the_encoder():
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, batch_size=8))
    state = update.init_state(make(), config.train)
    batch = windows_of(of_tasks(DATASETS)).sample(8, key=KEY)
    updated, _ = eqx.filter_jit(update.update)(state, batch, config.train, key=KEY)
    changed = jax.tree.map(lambda a, b: np.asarray(a != b), updated.model, state.model)
    assert changed.members.encoder.network.layers[0].weight.any()
    assert changed.members.heads.field.outlet.weight.any(axis=(0, 2, 3)).tolist() == [True] * NUM_TASKS


@pytest.mark.parametrize(
    "config",
    [
        C51Config(network=NetworkConfig(width=16, depth=1)),
        dataclasses.replace(CONFIG, network=FieldConfig(width=16, depth=1)),
        dataclasses.replace(CONFIG, next_draw="best"),
    ],
)
def test_what_cannot_share_an_encoder_is_refused(config):
    with pytest.raises(UserError, match=r"factorised field.*set head_width"):
        make(config)


@pytest.mark.slow
def test_one_run_holds_the_critics_of_all_tasks_and_acts_for_each(module_home):
    agent = stages.ensure_multitask_agent(tiny.TASK, tiny.CONFIG)
    (result,) = evaluation.evaluate_settings(agent, tiny.TASK, tiny.CONFIG.evaluation, [tiny.CONFIG.inference])
    assert len(result.episodes) == tiny.CONFIG.evaluation.num_episodes
    tasks = [dataclasses.replace(tiny.TASK, task_id=k) for k in (1, 3)]
    first, third = (stages.ensure_multitask_critic(task, tiny.CONFIG) for task in tasks)
    assert first.run == third.run
    assert first.run.metrics()["held_out_crps"].shape == (4, 5)
    assert (first.run.path / "results").exists()
    distributions = [trained.model.distribution(jnp.zeros(2), jnp.zeros(10), 4, 10).atoms for trained in (first, third)]
    assert (distributions[0] != distributions[1]).any()


@pytest.mark.slow
def test_a_base_policy_that_was_trained_again_is_noticed(module_home, monkeypatch):
    critic, policy = (make(tiny.TASK, tiny.CONFIG) for make in (stages.ensure_multitask_critic, stages.ensure_policy))
    assert critic.run.manifest["policy_sha256"] == policy.run.digest()
    assert stages.ensure_multitask_agent(tiny.TASK, tiny.CONFIG).facts["run"] == critic.run.name
    monkeypatch.setattr(Run, "digest", lambda run: "another")
    with pytest.raises(UserError, match=f"the base policy {policy.run.name}, which was trained again"):
        stages.ensure_multitask_agent(tiny.TASK, tiny.CONFIG)
