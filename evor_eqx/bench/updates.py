"""Speed of updates beside the machine's own matrix product.

Machines like laptops change their speed from second to second. So everything is timed in rounds: each round runs every
case once for a fraction of a second, ratios are taken within a round, and medians over rounds are reported.
"""

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from evor_eqx.bench import flops
from evor_eqx.bench.timing import Case, Row, interleave
from evor_eqx.config import Config, CriticConfig, FieldConfig, PolicyConfig, TrainConfig
from evor_eqx.critics.base import AbstractCritic, ReturnScale
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.critics.multitask import make_multitask_flow
from evor_eqx.data.custom import custom_task
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.pieces import of_tasks
from evor_eqx.data.windows import HostWindows, Windows
from evor_eqx.envs.tasks import NUM_TASKS, parse_task
from evor_eqx.policy import FlowPolicy, make_policy
from evor_eqx.presets import preset
from evor_eqx.suite.methods import find_method, method_name
from evor_eqx.training.compilation import initialised
from evor_eqx.training.loop import run_block
from evor_eqx.training.phases import critic_windows
from evor_eqx.training.sampling import Sampler
from evor_eqx.training.update import Trainable, init_state, update

OBS_SIZE, ACT_SIZE, NUM_ROWS = 37, 5, 100_100
_SCALE = ReturnScale(*map(jnp.asarray, (-85.0, 25.0, -100.0, 0.0)))  # as of a task with reward -1 per step


def run_training(width: int = 512, depth: int = 4, batch_size: int = 256, num_rounds: int = 5) -> list[Row]:
    """Time updates of phase 1, and of phase 2's targets and architectures, beside the matrix product.

    **Arguments:**

    - `width`, `depth`: hidden layers of all networks.
    - `batch_size`: windows of an update.
    - `num_rounds`: rounds of all cases.
    """
    mlp = FieldConfig(width=width, depth=depth)
    factorised = replace(mlp, head_width=64)
    windows = random_windows()
    policy = bench_policy(mlp)
    cases = [update_case("phase 1, MLP", policy, windows, batch_size, 20)]
    for target, network, label, num_updates in (
        ("velocity", mlp, "MLP", 20),
        ("bootstrap", mlp, "MLP", 6),
        ("velocity", factorised, "factorised", 20),
        ("bootstrap", factorised, "factorised", 20),
        ("coupled", factorised, "factorised", 20),
    ):
        critic = bench_critic(FlowConfig(target=target, network=network))
        cases.append(update_case(f"phase 2, {target}, {label}", critic, windows, batch_size, num_updates))
    scales = jax.tree.map(lambda leaf: jnp.full(NUM_TASKS, leaf), _SCALE)
    config = FlowConfig(target="bootstrap", network=factorised)
    sizes = (OBS_SIZE, ACT_SIZE, scales)
    critic = initialised(lambda key: make_multitask_flow(config, *sizes, key=key), jax.random.key(0))
    tasks = random_windows(num_tasks=NUM_TASKS)
    cases.append(update_case(f"phase 2, bootstrap, {NUM_TASKS} tasks", critic, tasks, batch_size, 20))
    return interleave(cases, num_rounds)


METHODS = ("evor", "evor_best4", "qc1", "qc5", "ifql")


def run_methods(names: Sequence[str] = METHODS, num_rounds: int = 5) -> list[Row]:
    """Time updates of the suite's methods on an arm, each with its laptop configuration, and of the first on own data.

    Names may be those of your own critics and flow targets. Own data are as large, and come through `custom_task`.
    """
    config, dataset = preset("laptop"), random_dataset(NUM_ROWS // 10)
    names = list(map(method_name, names))
    cases = [method_case(name, config, dataset) for name in names]
    return interleave([*cases, method_case(names[0], config, as_own_data(dataset), ", own data")], num_rounds)


def as_own_data(dataset: OfflineDataset) -> OfflineDataset:
    """The rows of a dataset as those of a task of one's own."""
    arrays = dataset.to_compact()
    rows = OfflineDataset.from_arrays(**arrays)
    return custom_task("bench", rows, rows, bounds=(-1.0, 1.0)).source.rows["train"]


def method_case(name: str, config: Config, dataset: OfflineDataset, label: str = "") -> Case:
    """20 updates of the critic of one of the suite's methods, with random chunks in place of a base policy's draws."""
    task = parse_task("cube-single-play-task1")
    config = find_method(name).configure(config, task, seed=0)
    chunk_size, num_draws = config.policy.chunk_length * ACT_SIZE, config.critic.num_bank_draws
    bank = np.random.default_rng(0).uniform(-1, 1, (num_draws, len(dataset.obs), chunk_size)).astype(np.float32)
    windows = critic_windows(dataset, task.gamma, config, bank)
    return update_case(
        f"suite, {name}{label}", bench_critic(config.critic, chunk_size), windows, config.critic.train.batch_size, 20
    )


def bench_policy(network: FieldConfig) -> FlowPolicy:
    """An untrained base policy with this network."""
    config = PolicyConfig(network=network)
    return initialised(lambda key: make_policy(config, OBS_SIZE, ACT_SIZE, key=key), jax.random.key(0))


def bench_critic(config: CriticConfig, chunk_size: int = ACT_SIZE) -> AbstractCritic:
    """An untrained critic of this configuration."""
    return initialised(lambda key: make_critic(config, OBS_SIZE, chunk_size, key=key, scale=_SCALE), jax.random.key(1))


def update_case(name: str, model: Trainable, windows: Sampler, batch_size: int, num_updates: int) -> Case:
    """Fused updates of a model, as a case to time.

    **Arguments:**

    - `name`: the case's name.
    - `model`: an untrained policy or critic.
    - `windows`: what batches are drawn from.
    - `batch_size`: windows of an update.
    - `num_updates`: updates of one run of the case.
    """
    config = TrainConfig(batch_size=batch_size, log_every=num_updates, checkpoint_every=num_updates)
    keys = jax.random.split(jax.random.key(0), 4)
    batch = windows.sample(batch_size, key=keys[0])
    inputs = (windows, windows.sample(8, key=keys[1]), keys[2], keys[3])
    state = [init_state(model, config)]

    def run():
        state[0], metrics = run_block(inputs, state[0], config, num_updates)
        jax.block_until_ready(metrics)

    return Case(name, run, num_updates, flops.count(update, state[0], batch, config, key=keys[0]))


def random_windows(num_rows: int = NUM_ROWS, num_tasks: int = 1) -> Windows | HostWindows:
    """Windows of a dataset of random rows, with the rewards of one task or of several."""
    dataset = random_dataset(num_rows)
    return (dataset if num_tasks == 1 else of_tasks([dataset] * num_tasks)).windows(gamma=0.99)


def random_dataset(num_rows: int) -> OfflineDataset:
    """Random rows in episodes of 1001."""
    rng = np.random.default_rng(0)
    valids = np.ones(num_rows)
    valids[1000::1001] = 0
    valids[-1] = 0
    arrays = {
        "observations": rng.normal(size=(num_rows, OBS_SIZE)),
        "actions": rng.uniform(-1, 1, (num_rows, ACT_SIZE)),
        "valids": valids,
        "rewards": -np.ones(num_rows),
        "masks": np.ones(num_rows),
    }
    return OfflineDataset.from_compact(arrays)
