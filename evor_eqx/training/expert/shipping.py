"""The trained ant as the two files that the package has in `data/generation`: its actor, and what made it."""

from dataclasses import asdict, replace
from pathlib import Path

from evor_eqx.runs.provenance import plain
from evor_eqx.runs.run import Run, environment
from evor_eqx.system.files import replacing, sha256
from evor_eqx.system.json_records import write_json
from evor_eqx.training.expert.ant import ExpertConfig, read_actor
from evor_eqx.training.expert.directed_ant import walking_speed


def write_actor(run: Run, config: ExpertConfig, folder: Path | None = None, step: int | None = None) -> Path:
    """Write `ant_actor.npz`, and `ant_actor.json` with its checksum, command, settings, versions and learning curve.

    **Arguments:**

    - `run`, `config`: the run and its configuration.
    - `folder`: where the files go (default: the run folder).
    - `step`: after how many steps (default: at the end). A shorter run has the same numbers up to its end.

    **Returns:** the path of the actor.

    **Raises:** UserError if the run has no actor of that step.
    """
    config = replace(config, num_steps=config.num_steps if step is None else step)
    actor = read_actor(run, config)
    path = (folder or run.path) / "ant_actor.npz"
    with replacing(path) as temporary:
        actor.write(temporary)
    facts = {
        "command": f"evor expert ant --num-steps {config.num_steps} --seed {config.seed}",
        "config": asdict(config),
        "sha256": sha256(path),
        "walking_speed": walking_speed(actor, seed=1, num_directions=32),
        "curve": {name: column[run.metrics()["step"] <= config.num_steps] for name, column in run.metrics().items()},
    }
    write_json(path.with_suffix(".json"), plain(facts) | environment())
    return path
