"""A training in its run folder: progress, snapshots and signals around `loop.fit`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, Key

from evor_eqx.config import TrainConfig
from evor_eqx.errors import UserError
from evor_eqx.runs.run import Run
from evor_eqx.system.progress import bar
from evor_eqx.system.signals import Stopped, held_signals
from evor_eqx.training import loop
from evor_eqx.training.sampling import HostSampler, Sampler
from evor_eqx.training.sharding import over_devices
from evor_eqx.training.update import Trainable, TrainState

Model = TypeVar("Model", bound=eqx.Module)


@dataclass(frozen=True)
class Trained(Generic[Model]):
    """A model with the run folder that it came from."""

    model: Model
    run: Run


def fit_in_run(
    run: Run,
    model: Trainable,
    samplers: Sequence[Sampler | HostSampler],
    config: TrainConfig,
    sizes: dict[str, int],
    *,
    key: Key[Array, "*seeds"],
    watch: loop.Watch = loop.unwatched,
    num_devices: int = 1,
    facts: Mapping[str, Any] = MappingProxyType({}),
    **options: Any,
) -> None:
    """Train in a run folder, with a progress bar; see `loop.fit`.

    The moving average at `config.snapshot_steps` is kept beside the checkpoint.

    **Arguments:**

    - `run`: keeps checkpoints, snapshots and rows of metrics.
    - `model`: the untrained model, or several with a leading axis of seeds.
    - `samplers`: those of training and validation.
    - `config`: how it is trained.
    - `sizes`: the sizes needed to rebuild the model from its configuration; written into the run's manifest.
    - `key`: a random key, or a row of keys, one for each seed.
    - `watch`: called after each block.
    - `num_devices`: devices that batches, or seeds if `key` is a row, are spread over.
    - `facts`: what else the manifest says.
    - `options`: further arguments of `loop.fit`.

    **Raises:**

    `Stopped` between two blocks after SIGINT or SIGTERM, with the state saved; otherwise as `loop.fit`.
    """
    run.begin(**facts)
    sampler, val_sampler = samplers
    spread = {"num_seeds": len(key)} if key.ndim else {"batch_size": config.batch_size}
    with (
        over_devices(num_devices, **spread),
        held_signals() as held,
        bar(config.num_updates, run.name, "update") as progress,
    ):

        def watch_all(step, scalars, model):
            if step in config.snapshot_steps:
                run.save(model, step)
            progress.update(step - progress.n)
            watch(step, scalars, model)
            if held.signum is not None:
                raise Stopped(f"stopped, {run.name} is saved at {step} updates", held.signum)

        loop.fit(model, sampler, val_sampler, config, run, key=key, watch=watch_all, **options)
        run.finish(sizes=sizes, updates_per_second=run.updates_per_second(), num_devices=num_devices)


def moving_average(run: Run, like: Callable[[], TrainState], step: int | None = None) -> Any:
    """Read the model of a finished run (the moving average of its weights), or one of its snapshots.

    **Arguments:**

    - `run`: the run.
    - `like`: makes a training state of the same shapes; it is traced, not computed.
    - `step`: the number of updates of the snapshot; the model at the end of training if not given.

    **Raises:**

    UserError if there is no such checkpoint or snapshot.
    """
    shapes = eqx.filter_eval_shape(like)  # nothing is computed for it
    found = run.read(shapes if step is None else shapes.target, step)
    if found is None:
        what = "checkpoint" if step is None else f"snapshot after {step} updates"
        raise UserError(
            f"no {what} in {run.path}, though the run is complete: put it back, or delete the folder to train it again"
        )
    return found.target if step is None else found


def phase_key(phase: int, seed: int) -> jax.Array:
    """The key of a phase and a seed; phases of the same seed share no random number."""
    return jax.random.fold_in(jax.random.key(seed), phase)
