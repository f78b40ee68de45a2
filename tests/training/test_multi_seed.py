"""Seeds of a critic side by side, against the same seeds trained one by one, and in two sittings."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from tiny import CONFIG, TASK

from evor_eqx.errors import UserError
from evor_eqx.pipeline import loading, stages
from evor_eqx.runs.run import Run
from evor_eqx.system import paths
from evor_eqx.system.signals import Stopped
from evor_eqx.training import multi_seed

pytestmark = pytest.mark.slow


def with_seed(seed):
    return replace(
        CONFIG, policy=replace(CONFIG.policy, seed=seed), critic=replace(CONFIG.critic, seed=seed, num_bank_draws=2)
    )


CONFIGS = [with_seed(0), with_seed(1)]


def leaves(run: Run, step: int | None = None):
    return jax.tree.leaves(jax.tree.map(np.asarray, loading.load_critic(run, step).model))


@pytest.fixture(scope="module")
def together(module_home):
    """The runs of two seeds that were trained side by side."""
    return [trained.run for trained in stages.ensure_critics(TASK, CONFIGS)]


def forget(runs):
    """Remove the checkpoints of runs, so that they are trained again."""
    for run in runs:
        (run.path / "manifest.json").unlink()
        (run.path / "checkpoint.eqx").unlink()


def test_each_seed_comes_to_what_it_would_alone_on_its_own_base_policys_draws(together, module_home):
    side_by_side = [
        {step: leaves(run, step) for step in (*CONFIG.critic.train.snapshot_steps, None)} for run in together
    ]
    metrics = [run.metrics() for run in together]
    assert {run.manifest["num_seeds"] for run in together} == {2}
    assert not list(paths.runs_dir().glob(f"{TASK.name}/seeds-*"))
    forget(together)
    for config, run, expected, rows in zip(CONFIGS, together, side_by_side, metrics, strict=True):
        assert stages.ensure_critic(TASK, config).run == run and "num_seeds" not in run.manifest
        for step, there in expected.items():  # sums of a batch of matrices are rounded in another order
            for got, wanted in zip(leaves(run, step), there, strict=True):
                np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=2e-5)
        alone = run.metrics()
        assert alone.keys() == rows.keys() and list(alone["step"]) == list(rows["step"])
        shared = {"val_loss"} if run != together[0] else set()  # on the first seed's held-out rows
        for name in set(alone) - {"time"} - shared:
            np.testing.assert_allclose(alone[name], rows[name], rtol=2e-3, atol=2e-5, err_msg=name)


def test_each_seed_knows_the_training_of_its_own_base_policy(together, module_home, monkeypatch):
    forget(together)
    stages.ensure_critics(TASK, CONFIGS)
    policies = [stages.ensure_policy(TASK, config).run for config in CONFIGS]
    digests = [policy.digest() for policy in policies]
    assert [run.manifest["policy_sha256"] for run in together] == digests and len(set(digests)) == 2
    digest = Run.digest
    monkeypatch.setattr(Run, "digest", lambda run: "another" if run == policies[1] else digest(run))
    assert loading.load_run_agent(together[0]).facts["run"] == together[0].name
    with pytest.raises(UserError, match=f"the base policy {policies[1].name}, which was trained again"):
        loading.load_run_agent(together[1])


def test_a_training_that_was_stopped_goes_on_and_gives_the_same_numbers(together, module_home, monkeypatch):
    forget(together)
    undisturbed = [leaves(trained.run) for trained in stages.ensure_critics(TASK, CONFIGS)]
    forget(together)

    def stop(step, scalars, model):
        if step == 20:
            raise Stopped

    fit_in_run = multi_seed.fit_in_run
    with monkeypatch.context() as patch:
        patch.setattr(multi_seed, "fit_in_run", lambda *given, **named: fit_in_run(*given, **named, watch=stop))
        with pytest.raises(Stopped):
            stages.ensure_critics(TASK, CONFIGS)
    assert not any(run.complete for run in together)
    (unfinished,) = paths.runs_dir().glob(f"{TASK.name}/seeds-*/checkpoint.eqx")
    assert Run(unfinished.parent).manifest["status"] == "running"
    again = [leaves(trained.run) for trained in stages.ensure_critics(TASK, CONFIGS)]
    for got, wanted in zip(again, undisturbed, strict=True):
        jax.tree.map(np.testing.assert_array_equal, got, wanted)


@pytest.mark.parametrize("moment", ["hand_out", "finish"])
def test_a_kill_while_seeds_get_their_folders_loses_nothing(moment, together, module_home, monkeypatch):
    """Between those of the first seed and of the second; afterwards both are asked for again."""
    forget(together)
    undisturbed = [(leaves(t.run), t.run.metrics()) for t in stages.ensure_critics(TASK, CONFIGS)]
    forget(together)
    act, calls = getattr(Run, moment), []

    def killed(run, *given, **named):
        calls.append(run)
        if len(calls) == (3 if moment == "finish" else 2):  # the first to finish is the training of both
            raise KeyboardInterrupt
        return act(run, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Run, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            stages.ensure_critics(TASK, CONFIGS)
    assert [run.complete for run in together] == [moment == "finish", False]
    for run, (weights, metrics) in zip([t.run for t in stages.ensure_critics(TASK, CONFIGS)], undisturbed, strict=True):
        jax.tree.map(np.testing.assert_array_equal, leaves(run), weights)
        np.testing.assert_array_equal(run.metrics()["loss"], metrics["loss"])
        assert run.manifest["num_seeds"] == 2
    assert not list(paths.runs_dir().glob(f"{TASK.name}/seeds-*"))


def test_seeds_whose_draws_do_not_fit_on_the_device_are_trained_one_by_one(together, module_home, monkeypatch):
    forget(together)
    monkeypatch.setattr(multi_seed, "DEVICE_BYTES", 1)
    runs = [trained.run for trained in stages.ensure_critics(TASK, CONFIGS)]
    assert runs == together and not any("num_seeds" in run.manifest for run in runs)
    assert not list(paths.runs_dir().glob(f"{TASK.name}/seeds-*"))
