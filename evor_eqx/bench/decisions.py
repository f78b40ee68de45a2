"""Latency of one decision."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from evor_eqx.agent import agent as inference
from evor_eqx.bench.timing import seconds_of
from evor_eqx.bench.updates import bench_critic, bench_policy
from evor_eqx.config import CriticConfig, NetworkConfig
from evor_eqx.critics.base import AbstractCritic
from evor_eqx.policy import FlowPolicy
from evor_eqx.system.progress import bar


def run_decisions(
    width: int = 512, depth: int = 4, candidates: Iterable[int] = (1, 8, 32, 64), num_rounds: int = 40
) -> list[dict[str, Any]]:
    """Latency of one decision (N = 16, 10 + 10 steps) of `inference.act` for one environment: p50 and p99 in ms."""
    networks = {"MLP": NetworkConfig(width, depth), "factorised": NetworkConfig(width, depth, head_width=64)}
    agents = {
        label: (bench_policy(network), bench_critic(CriticConfig(network=network)))
        for label, network in networks.items()
    }
    return time_decisions(agents, candidates, num_rounds)


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
                times[key].append(seconds_of(cases[key]))
            progress.update(1)
    return [
        {"network": label, "num_candidates": num, **{f"p{q}_ms": 1000 * np.percentile(row, q) for q in (50, 99)}}
        for (label, num), row in times.items()
    ]


def decision_case(policy: FlowPolicy, critic: AbstractCritic, num_candidates: int) -> Callable[[], object]:
    """One decision for one environment, from observation to chunk on the host."""
    obs, keys = jnp.zeros((1, *policy.features.mean.shape)), jax.random.split(jax.random.key(0), 1)
    actor, temperatures = inference.agent(policy, critic, 10), (jnp.full(1, 3.0), jnp.full(1, 0.3))
    return lambda: np.asarray(actor(obs, keys, num_candidates, 16, *temperatures))
