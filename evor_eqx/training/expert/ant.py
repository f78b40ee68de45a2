"""The ant that walks: soft actor-critic on a plane, one update a step, in a run folder.

Steps are taken in blocks with the actor of the block's beginning; as many updates follow in one compiled call. All
random numbers of a block come from the seed and the block's first step. So a run that was stopped goes on bit for bit.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray

from evor_eqx.data.generation.ant_actor import AntActor
from evor_eqx.errors import UserError
from evor_eqx.nn.mlp import MLP
from evor_eqx.runs.run import Run
from evor_eqx.system.checked import Checked, within
from evor_eqx.system.locks import lock
from evor_eqx.system.progress import bar
from evor_eqx.system.signals import Stopped, held_signals
from evor_eqx.training.divergence import check_finite
from evor_eqx.training.expert.directed_ant import (
    ACT_SIZE,
    OBS_SIZE,
    SECONDS,
    AntState,
    DirectedAnt,
    collect,
    walking_speed,
)
from evor_eqx.training.expert.sac import SacConfig, SacState, Transition, init_state, updates

# The scalars of a row of metrics: means over its steps. `falls` is a rate per step; updates have the others.
SCALARS: tuple[str, ...] = ("speed", "falls", "critic_loss", "q", "entropy", "alpha")
Watch = Callable[[int, dict[str, Any]], object]  # of the steps done and the row of metrics


@dataclass(frozen=True)
class ExpertConfig(Checked):
    """How the ant is trained, with the published values as defaults."""

    num_steps: int = within(1, 10**7, 400_000)  # steps of the environment
    num_random_steps: int = within(1, 10**7, 10_000)  # steps with uniform actions, before the first update
    block: int = within(1, 10_000, 50)  # steps, and then as many updates, per compiled call
    log_every: int = within(1, 10**7, 10_000)  # steps per row of metrics, checkpoint and snapshot
    seed: int = within(0, 2**31 - 1, 0)
    sac: SacConfig = field(default_factory=SacConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("num_steps", "num_random_steps", "log_every"):
            if getattr(self, name) % self.block:
                raise UserError(f"{name} is {getattr(self, name)}: expected a multiple of block, which is {self.block}")


class ExpertState(eqx.Module):
    """All that a training goes on from."""

    sac: SacState
    replay: Transition  # all steps; zero where none was taken yet
    ant: AntState
    sums: dict[str, float]  # of the scalars since the last row of metrics
    num_updates: int  # steps taken: what `Run` calls updates


def expert_run(config: ExpertConfig) -> Run:
    """The run folder of a configuration."""
    return Run.of("ant", "expert", asdict(config))


def train_ant(config: ExpertConfig, watch: Watch = lambda step, row: None) -> Run:
    """Train the ant, unless it is trained; go on from the last checkpoint if there is one.

    **Arguments:**

    - `config`: how it is trained.
    - `watch`: called after each row of metrics; it may raise `Stopped`.

    **Returns:** the run. `read_actor` reads the actor from it.

    **Raises:** `Stopped` after SIGINT or SIGTERM, with the state saved; UserError for numbers that are not finite.
    """
    run = expert_run(config).open()
    with lock(run.path):
        if not run.complete:
            _train(run, config, watch)
    return run


def read_actor(run: Run, config: ExpertConfig, step: int | None = None) -> AntActor:
    """The actor of a run after `step` steps, which must be a multiple of `log_every` (default: at its end).

    **Raises:** UserError if there is none.
    """
    like = eqx.filter_eval_shape(lambda: init_state(config.sac, OBS_SIZE, ACT_SIZE, key=jax.random.key(0)))
    step = config.num_steps if step is None else step
    found = run.read(like.networks.actor, step)
    if found is None:
        raise UserError(f"no actor after {step} steps in {run.path}: train it, or choose a multiple of log_every")
    return export_actor(found)


def export_actor(actor: MLP) -> AntActor:
    """An actor for NumPy."""
    return AntActor(tuple((np.asarray(each.weight), np.asarray(each.bias)) for each in (*actor.layers, actor.output)))


def _train(run: Run, config: ExpertConfig, watch: Watch) -> None:
    run.begin()
    init_key, key = jax.random.split(jax.random.key(config.seed))
    ant = DirectedAnt(np.random.default_rng([config.seed, 0]))
    state = _first_state(config, ant, init_key)
    state = run.restore(state) or state
    ant.restore(state.ant)
    with held_signals() as held, bar(config.num_steps, run.name, "step", state.num_updates) as progress:
        while (before := state.num_updates) < config.num_steps:
            state = _block(state, ant, config, key)
            progress.update(state.num_updates - before)
            if state.num_updates % config.log_every == 0 or state.num_updates == config.num_steps:
                state = _log(run, state, config, key, watch)
            if held.signum is not None:
                run.save(state)
                raise Stopped(f"stopped, {run.name} is saved at {state.num_updates} steps", held.signum)
    run.finish()


def _first_state(config: ExpertConfig, ant: DirectedAnt, key: PRNGKeyArray) -> ExpertState:
    shapes = ((OBS_SIZE,), (ACT_SIZE,), (), (), (OBS_SIZE,))
    replay = Transition(*(jnp.zeros((config.num_steps, *shape)) for shape in shapes))
    sums = dict.fromkeys(SCALARS, 0.0)
    return ExpertState(init_state(config.sac, OBS_SIZE, ACT_SIZE, key=key), replay, ant.state, sums, 0)


def _block(state: ExpertState, ant: DirectedAnt, config: ExpertConfig, key: PRNGKeyArray) -> ExpertState:
    """Take a block of steps and, once all random steps are taken, make as many updates."""
    start, is_random = state.num_updates, state.num_updates < config.num_random_steps
    actor = None if is_random else export_actor(state.sac.networks.actor)
    taken = collect(ant, actor, config.block, np.random.default_rng([config.seed, 1, start]))
    replay, end = _insert(state.replay, taken, jnp.asarray(start)), start + config.block
    sac, scalars = (
        state.sac,
        {"speed": np.asarray(taken.reward).mean() / SECONDS, "falls": 1 - np.asarray(taken.mask).mean()},
    )
    if not is_random:
        sac, metrics = updates((replay, jnp.asarray(end), key), sac, config.sac, config.block)
        scalars |= metrics
    sums = {name: total + config.block * float(scalars.get(name, 0.0)) for name, total in state.sums.items()}
    return ExpertState(sac, replay, ant.state, sums, end)


def _log(run: Run, state: ExpertState, config: ExpertConfig, key: PRNGKeyArray, watch: Watch) -> ExpertState:
    """Write a row of metrics, a snapshot of the actor and a checkpoint. Returns the state with sums of zero."""
    step, rate = state.num_updates, config.sac.learning_rate
    span = step % config.log_every or config.log_every
    row = {name: total / span for name, total in state.sums.items()}
    updates = range(max(int(state.sac.step) - span, 0), int(state.sac.step))  # those since the last row
    check_finite(state.sac, row["critic_loss"], updates, rate, updates.start if step > span else None, key=key)
    row["mean_action_speed"] = walking_speed(export_actor(state.sac.networks.actor), config.seed)
    state = eqx.tree_at(lambda s: s.sums, state, dict.fromkeys(SCALARS, 0.0))
    run.log(step, row)
    run.save(state.sac.networks.actor, step)
    run.save(state)
    watch(step, row)
    return state


@eqx.filter_jit(donate="all")
def _insert(replay: Transition, taken: Transition, start: Int[Array, ""]) -> Transition:
    def one(rows, new):
        return jax.lax.dynamic_update_slice_in_dim(rows, new, start, axis=0)

    return jax.tree.map(one, replay, taken)
