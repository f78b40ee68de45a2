"""Several seeds of a critic in one training by vmap. Then each gets its run folder, as if it had trained alone.

Small networks leave most of a GPU idle, which other seeds can use. Seeds share the data, and each has the draws of its
own base policy. Only the recorded `val_loss` differs from that of a training alone: all seeds have the held-out batch
of the first.
"""

import contextlib
import shutil
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from evor_eqx.config import Config
from evor_eqx.data.dataset import DEVICE_BYTES, OfflineDataset
from evor_eqx.data.sources import Source, Split
from evor_eqx.data.windows import HostWindows, Windows
from evor_eqx.envs.tasks import Task
from evor_eqx.policy import FlowPolicy
from evor_eqx.runs.run import Run
from evor_eqx.system import paths
from evor_eqx.system.locks import lock
from evor_eqx.training.action_bank import ensure_bank
from evor_eqx.training.compilation import initialised
from evor_eqx.training.fit import Trained, fit_in_run
from evor_eqx.training.phases import CriticTraining, critic_keys, critic_windows
from evor_eqx.training.update import init_states

Policies = Sequence[Trained[FlowPolicy]]


def fit_critics(
    run: Run, seed_runs: Sequence[Run], source: Source, task: Task, policies: Policies, configs: Sequence[Config]
) -> None:
    """Phase 2 of one task with several seeds. Nothing is trained if all their draws do not fit on the device.

    **Arguments:**

    - `run`: the run of the training of all seeds. It is removed when every seed has its own.
    - `seed_runs`, `policies`, `configs`: the run, the base policy and the configuration of each seed. The
      configurations differ in seeds only.
    - `source`, `task`: the data.
    """
    config = configs[0]
    training = CriticTraining.of(source, task, policies[0], config)
    both = [_windows(split, name, task.gamma, policies, config) for name, split in training.splits.items()]
    windows = [each for each in both if isinstance(each, Windows)]
    if len(windows) == len(both):
        init_keys, train_keys = jnp.stack([critic_keys(each) for each in configs], axis=1)
        make, train = eqx.filter_vmap(training.make), config.critic.train
        options = {
            "key": train_keys,
            "measure": eqx.filter_jit(eqx.filter_vmap(lambda critic: training.held_out(critic))),
            "num_devices": config.num_devices,
        }
        fit_in_run(run, initialised(make, init_keys), windows, train, training.sizes, **options)
        state = eqx.filter_eval_shape(lambda: init_states(make(init_keys), train))
        kept = {step: run.read(state.target, step) for step in train.snapshot_steps} | {None: run.read(state)}
        _hand_out(run, seed_runs, policies, kept)
    shutil.rmtree(run.path)


def remove_handed_out(task: Task) -> None:
    """Remove trainings of several seeds whose seeds all have their runs. A kill may have come before the removal."""
    for config in (paths.runs_dir() / task.name).glob("seeds-*/config.json"):
        if all(Run.named(name).complete for name in Run(config.parent).config["runs"]):
            shutil.rmtree(config.parent, ignore_errors=True)  # another process may be at it


def _hand_out(run: Run, seed_runs: Sequence[Run], policies: Policies, kept: dict[int | None, Any]) -> None:
    """Give each seed its run folder.

    No run is marked complete before all are written. After a kill, they are handed out again or trained one by one.
    """
    with contextlib.ExitStack() as locks:
        for seed_run in sorted(seed_runs, key=lambda seed_run: seed_run.name):
            locks.enter_context(lock(seed_run.path))
        left = [(index, seed_run) for index, seed_run in enumerate(seed_runs) if not seed_run.complete]
        for index, seed_run in left:
            run.hand_out(index, seed_run, kept)
        for index, seed_run in left:
            facts = {name: run.manifest[name] for name in ("sizes", "updates_per_second", "num_devices")}
            seed_run.finish(**facts, policy_sha256=policies[index].run.digest())


def _windows(
    dataset: OfflineDataset, split: Split, gamma: float, policies: Policies, config: Config
) -> Windows | HostWindows | None:
    """Windows with a bank for each seed; not `Windows` if they do not fit on the device."""
    if not config.critic.num_bank_draws:
        return critic_windows(dataset, gamma, config, None)
    banks = [np.moveaxis(ensure_bank(policy, dataset.obs, split, config.critic), 1, 0) for policy in policies]
    if sum(bank.nbytes for bank in banks) > DEVICE_BYTES:
        return None  # before they are read
    return critic_windows(dataset, gamma, config, np.stack(banks))
