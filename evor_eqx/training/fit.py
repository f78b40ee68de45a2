"""A training in its run folder: progress, snapshots and signals around `loop.fit`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from evor_eqx.training.sharding import over_devices

Model = TypeVar("Model", bound=eqx.Module)


@dataclass(frozen=True)
class Trained(Generic[Model]):
    """A model with the run folder that it came from."""

    model: Model
    run: Run


def fit_in_run(
    run: Run,
    model: loop.Trainable,
    samplers: Sequence[loop.Sampler | loop.HostSampler],
    config: TrainConfig,
    sizes: dict[str, int],
    *,
    key: Key[Array, "*seeds"],
    watch: loop.Watch = loop.unwatched,
    num_devices: int = 1,
    **options: Any,
) -> None:
    """`train.fit` in a run folder, with a progress bar; `sizes` is what rebuilding the model needs besides its config.

    `samplers` are those of training and validation; `options` are what else `train.fit` takes by name. Batches, or
    seeds if `key` is a row, are spread over `num_devices`.
    The moving average at `config.snapshot_steps` is kept beside the checkpoint.
    SIGINT and SIGTERM stop it between two blocks by `Stopped`, with the state saved.
    """
    run.begin()
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


def moving_average(run: Run, like: Callable[[], loop.TrainState], step: int | None = None) -> Any:
    """The model of a finished run, or its snapshot after `step` updates, in the shapes of the state `like` would make.

    Raises UserError if it is not there.
    """
    shapes = eqx.filter_eval_shape(like)  # nothing is computed for it
    found = run.read(shapes if step is None else shapes.target, step)
    if found is None:
        what = "checkpoint" if step is None else f"snapshot after {step} updates"
        raise UserError(f"no {what} in {run.path}, though the run is complete: delete the folder to train it again")
    return found.target if step is None else found


def phase_key(phase: int, seed: int) -> jax.Array:
    """Phases of the same seed share no random number."""
    return jax.random.fold_in(jax.random.key(seed), phase)
