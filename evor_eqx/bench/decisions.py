"""Latency of one decision of an agent."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from evor_eqx.agent.agent import Agent
from evor_eqx.bench.timing import seconds_of
from evor_eqx.bench.updates import bench_critic, bench_policy
from evor_eqx.config import FieldConfig
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.system.progress import bar


def run_decisions(
    width: int = 512, depth: int = 4, candidates: Iterable[int] = (1, 8, 32, 64), num_rounds: int = 40
) -> list[dict[str, Any]]:
    """Time decisions of untrained agents with N = 16 and 10 + 10 steps in flow time.

    **Arguments:**

    - `width`, `depth`: hidden layers of both networks.
    - `candidates`: the values of N_pi.
    - `num_rounds`: decisions of each case.

    **Returns:**

    Rows as `time_decisions` gives them, for an MLP and a factorised field.
    """
    networks = {"MLP": FieldConfig(width, depth), "factorised": FieldConfig(width, depth, head_width=64)}
    agents = {
        label: Agent(bench_policy(network), bench_critic(FlowConfig(network=network)))
        for label, network in networks.items()
    }
    return time_decisions(agents, candidates, num_rounds)


def time_decisions(
    agents: Mapping[str, Agent], candidates: Iterable[int], num_rounds: int = 40
) -> list[dict[str, Any]]:
    """Time single decisions of several agents, interleaved.

    **Arguments:**

    - `agents`: agents by label; everything but N_pi is taken as it is.
    - `candidates`: the values of N_pi.
    - `num_rounds`: decisions of each case, in another order in each round.

    **Returns:**

    A row for each label and N_pi: network, num_candidates, p50_ms and p99_ms.
    """
    candidates = list(candidates)
    cases = {(label, num): decision_case(agent, num) for label, agent in agents.items() for num in candidates}
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


def decision_case(agent: Agent, num_candidates: int) -> Callable[[], object]:
    """A call of `Agent.act` for one observation, from the environment's array to the chunk on the host."""
    obs, key, agent = np.zeros(agent.obs_size), jax.random.key(0), agent.replace(num_candidates=num_candidates)
    return lambda: agent.act(obs, key=key)
