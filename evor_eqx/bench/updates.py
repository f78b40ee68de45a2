"""What the machine gives and what the project takes of it: updates, decisions, memory; ratios from interleaved runs.

Machines like laptops change their speed from second to second. So everything is timed in rounds, each round runs every
case once for a fraction of a second, a ratio is taken within a round, and medians over rounds are reported.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evor_eqx.agent import agent as inference
from evor_eqx.bench import flops
from evor_eqx.config import Config, CriticConfig, NetworkConfig, PolicyConfig, TrainConfig
from evor_eqx.critics.base import AbstractCritic, ReturnScale
from evor_eqx.critics.factory import make_critic, make_policy, make_shared_critic
from evor_eqx.data.dataset import OfflineDataset, of_tasks
from evor_eqx.data.windows import HostWindows, Windows
from evor_eqx.envs.tasks import NUM_TASKS, parse_task
from evor_eqx.policy import FlowPolicy
from evor_eqx.presets import preset
from evor_eqx.suite.methods import METHODS
from evor_eqx.system.progress import bar
from evor_eqx.training import loop
from evor_eqx.training.compilation import initialised
from evor_eqx.training.phases import critic_windows

OBS_SIZE, ACT_SIZE, NUM_ROWS = 37, 5, 100_100
PEAK_SHAPE, PEAK_TURNS = (256, 512, 512), 40  # the matrix product whose speed is called the peak
_SCALE = ReturnScale(*map(jnp.asarray, (-85.0, 25.0, -100.0, 0.0)))  # as of a task with reward -1 per step


@dataclass(frozen=True)
class Case:
    """Something to time: `run()` blocks until its `units` (updates, decisions) are done."""

    name: str
    run: Callable[[], object]
    units: int
    flops_per_unit: int = 0


@dataclass(frozen=True)
class Row:
    """What came of a case: medians over rounds."""

    name: str
    per_second: float
    milliseconds: float  # of one unit
    gflop: float  # of one unit
    share_of_peak: float  # of the matrix product's speed in the same rounds
    first_call: float  # seconds, compilation included


def run_training(width: int = 512, depth: int = 4, batch_size: int = 256, num_rounds: int = 5) -> list[Row]:
    """Updates of phase 1 and of phase 2's targets and architectures, beside the matrix product."""
    mlp = NetworkConfig(width=width, depth=depth)
    factorised = replace(mlp, head_width=64)
    windows = random_windows()
    policy = _policy(mlp)
    cases = [update_case("phase 1, MLP", policy, windows, batch_size, 20)]
    for target, network, label, num_updates in (
        ("velocity", mlp, "MLP", 20),
        ("bootstrap", mlp, "MLP", 6),
        ("velocity", factorised, "factorised", 20),
        ("bootstrap", factorised, "factorised", 20),
        ("coupled", factorised, "factorised", 20),
    ):
        critic = _critic(CriticConfig(target=target, network=network))
        cases.append(update_case(f"phase 2, {target}, {label}", critic, windows, batch_size, num_updates))
    scales = jax.tree.map(lambda leaf: jnp.full(NUM_TASKS, leaf), _SCALE)
    config = CriticConfig(target="bootstrap", network=factorised)
    sizes = (OBS_SIZE, ACT_SIZE, scales)
    critic = initialised(lambda key: make_shared_critic(config, *sizes, key=key), jax.random.key(0))
    tasks = random_windows(num_tasks=NUM_TASKS)
    cases.append(update_case(f"phase 2, bootstrap, {NUM_TASKS} tasks", critic, tasks, batch_size, 20))
    return interleave(cases, num_rounds)


def run_methods(names: Sequence[str] = ("evor", "evor_best4", "qc1", "qc5", "ifql"), num_rounds: int = 5) -> list[Row]:
    """Updates of methods of the suite on an arm, at its laptop preset: what each makes in the same time."""
    config, dataset = preset("laptop"), random_dataset(NUM_ROWS // 10)
    return interleave([method_case(name, config, dataset) for name in names], num_rounds)


def method_case(name: str, config: Config, dataset: OfflineDataset) -> Case:
    """20 updates of the critic of one of the suite's methods, on draws of no base policy."""
    task = parse_task("cube-single-play-task1")
    config = METHODS[name].configure(config, task, seed=0)
    chunk_size, num_draws = config.policy.chunk_length * ACT_SIZE, config.critic.num_bank_draws
    bank = np.random.default_rng(0).uniform(-1, 1, (num_draws, len(dataset.obs), chunk_size)).astype(np.float32)
    windows = critic_windows(dataset, task.gamma, config, bank)
    return update_case(
        f"suite, {name}", _critic(config.critic, chunk_size), windows, config.critic.train.batch_size, 20
    )


def run_decisions(
    width: int = 512, depth: int = 4, candidates: Iterable[int] = (1, 8, 32, 64), num_rounds: int = 40
) -> list[dict[str, Any]]:
    """Latency of one decision (N = 16, 10 + 10 steps) of `inference.act` for one environment: p50 and p99 in ms."""
    networks = {"MLP": NetworkConfig(width, depth), "factorised": NetworkConfig(width, depth, head_width=64)}
    agents = {label: (_policy(network), _critic(CriticConfig(network=network))) for label, network in networks.items()}
    return time_decisions(agents, candidates, num_rounds)


def _policy(network: NetworkConfig) -> FlowPolicy:
    config = PolicyConfig(network=network)
    return initialised(lambda key: make_policy(config, OBS_SIZE, ACT_SIZE, key=key), jax.random.key(0))


def _critic(config: CriticConfig, chunk_size: int = ACT_SIZE) -> AbstractCritic:
    return initialised(lambda key: make_critic(config, OBS_SIZE, chunk_size, key=key, scale=_SCALE), jax.random.key(1))


def time_decisions(
    agents: dict[str, tuple[FlowPolicy, AbstractCritic]], candidates: Iterable[int], num_rounds: int = 40
) -> list[dict[str, Any]]:
    """p50 and p99 in ms of one decision of each agent (policy, critic) for each number of candidates, interleaved."""
    cases = {(label, num): decision_case(*agent, num) for label, agent in agents.items() for num in candidates}
    for case in cases.values():
        case()
    times: dict[tuple[str, int], list[float]] = {key: [] for key in cases}
    rng = np.random.default_rng(0)
    with bar(num_rounds, "decisions", "round") as progress:
        for _ in range(num_rounds):
            for index in rng.permutation(len(cases)):  # a large case leaves the caches cold for the one after it
                key = list(cases)[index]
                times[key].append(_seconds(cases[key]))
            progress.update(1)
    return [
        {"network": label, "num_candidates": num, **{f"p{q}_ms": 1000 * np.percentile(row, q) for q in (50, 99)}}
        for (label, num), row in times.items()
    ]


def interleave(cases: list[Case], num_rounds: int) -> list[Row]:
    """Time all cases round by round; the matrix product runs before and after every case."""
    first_calls = {case.name: _seconds(case.run) for case in cases}
    peak = matrix_product()
    peak.run()
    seconds: dict[str, list[float]] = {case.name: [] for case in cases}
    peaks: dict[str, list[float]] = {case.name: [] for case in cases}
    with bar(num_rounds * len(cases), "updates", "case") as progress:
        for _ in range(num_rounds):
            for case in cases:
                before = _seconds(peak.run)
                seconds[case.name].append(_seconds(case.run) / case.units)
                peaks[case.name].append(peak.units * peak.flops_per_unit / min(before, _seconds(peak.run)))
                progress.update(1)
    rows = []
    for case in cases:
        each, speed = np.array(seconds[case.name]), np.array(peaks[case.name])
        share = float(np.median(case.flops_per_unit / each / speed))
        median = float(np.median(each))
        gflop = case.flops_per_unit / 1e9
        rows.append(Row(case.name, 1 / median, 1000 * median, gflop, share, first_calls[case.name]))
    return rows


def matrix_product() -> Case:
    """PEAK_SHAPE products, one after another: what this machine's matrix unit gives."""
    m, k, n = PEAK_SHAPE
    x, w = jnp.ones((m, k)), jnp.full((k, n), 1.0 / k)
    run = jax.jit(lambda x: jax.lax.fori_loop(0, PEAK_TURNS, lambda _, y: y @ w, x))
    return Case("matrix product", lambda: jax.block_until_ready(run(x)), PEAK_TURNS, 2 * m * k * n)


def update_case(name: str, model: loop.Trainable, windows: loop.Sampler, batch_size: int, num_updates: int) -> Case:
    """`num_updates` fused updates of a policy or critic."""
    config = TrainConfig(batch_size=batch_size, log_every=num_updates, checkpoint_every=num_updates)
    keys = jax.random.split(jax.random.key(0), 4)
    batch = windows.sample(batch_size, key=keys[0])
    inputs = (windows, windows.sample(8, key=keys[1]), keys[2], keys[3])
    state = [loop.init_state(model, config)]

    def run():
        state[0], metrics = loop.run_block(inputs, state[0], config, num_updates)
        jax.block_until_ready(metrics)

    return Case(name, run, num_updates, flops.count(loop.update, state[0], batch, config, key=keys[0]))


def decision_case(policy: FlowPolicy, critic: AbstractCritic, num_candidates: int) -> Callable[[], object]:
    """One decision for one environment, from observation to chunk on the host."""
    obs, keys = jnp.zeros((1, *policy.features.mean.shape)), jax.random.split(jax.random.key(0), 1)
    actor, temperatures = inference.agent(policy, critic, 10), (jnp.full(1, 3.0), jnp.full(1, 0.3))
    return lambda: np.asarray(actor(obs, keys, num_candidates, 16, *temperatures))


def random_windows(num_rows: int = NUM_ROWS, num_tasks: int = 1) -> Windows | HostWindows:
    """Windows of a dataset of random rows; of several tasks if there is more than one."""
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
    return OfflineDataset.from_arrays(arrays)


def peak_memory() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
