"""The benchmark at a toy size: its rows, its counts, its file."""

import json
from dataclasses import replace

import jax
import pytest
from tiny import CONFIG

from evor_eqx import presets
from evor_eqx.bench import explorer, updates
from evor_eqx.cli import main
from evor_eqx.config import FieldConfig
from evor_eqx.critics.factory import make_critic
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.critics.next_draw import ATOMS_AND_STEPS


@pytest.mark.slow
def test_bench_prints_a_table_and_writes_what_it_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(explorer, "run_explorer", lambda: [{"what": "a move", "p50_ms": 1.0, "p95_ms": 2.0}])
    monkeypatch.setattr(presets, "_laptop", lambda: CONFIG)
    file = tmp_path / "bench.json"
    arguments = ["--width", "16", "--depth", "1", "--batch-size", "8", "--num-rounds", "1", "--no-physics"]
    assert main.main(["bench", "--json", str(file), *arguments]) == 0
    printed, results = capsys.readouterr().out, json.loads(file.read_text())
    assert {"updates", "decisions", "peak_memory_mb", "settings", "versions", "device"} <= set(results)
    for row in results["updates"]:
        assert row["name"] in printed
        assert row["per_second"] == pytest.approx(1000 / row["milliseconds"], rel=1e-6)
        assert 0 < row["share_of_peak"] < 1 and row["gflop"] > 0
    methods = ("evor", "evor_best4", "qc1", "qc5", "ifql")
    assert {f"suite, {method}" for method in methods} <= {row["name"] for row in results["updates"]}
    assert {(row["network"], row["num_candidates"]) for row in results["decisions"]} == {
        (network, num) for network in ("MLP", "factorised") for num in (1, 8, 32, 64)
    }
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in results["decisions"])


def test_a_bootstrap_update_costs_ten_more_passes_through_an_mlp_and_one_through_an_encoder():
    """Of a forward pass: 3 for the update (less the first layer's input), 10 or 1 for the target's flow."""
    mlp, factorised = (FieldConfig(width=64, depth=2, head_width=head_width) for head_width in (0, 8))
    windows = updates.random_windows(2002)

    def gflop(target, network):
        config = FlowConfig(target=target, network=network)
        critic = make_critic(config, updates.OBS_SIZE, updates.ACT_SIZE, key=jax.random.key(0))
        return updates.update_case("", critic, windows, 16, 2).flops_per_unit / (16 * 2)

    inputs = updates.OBS_SIZE + updates.ACT_SIZE
    forward = (inputs + 2) * 64 + 64 * 64 + 64
    assert gflop("bootstrap", mlp) - gflop("mc", mlp) == 10 * forward
    encoder = inputs * 64 + 64 * 64 + 64 * (5 * 8 + 1)
    head = 2 * 8 + 8 * 8 + 8
    assert gflop("bootstrap", factorised) - gflop("mc", factorised) == encoder + 10 * head


@pytest.mark.parametrize(("name", "num_draws", "chunk_length"), [("qc1", 4, 1), ("qc5", 32, 5)])
def test_q_chunking_passes_each_draw_through_both_members(name, num_draws, chunk_length):
    """Of a member's forward pass: each draw, the best, 3 for the update (less the first layer's input)."""
    network, train = FieldConfig(width=64, depth=2), replace(CONFIG.critic.train, batch_size=16)
    config = replace(CONFIG, critic=replace(CONFIG.critic, network=network, train=train))
    first_layer = (updates.OBS_SIZE + chunk_length * updates.ACT_SIZE) * 64
    forward = first_layer + 64 * 64 + 64
    got = updates.method_case(name, config, updates.random_dataset(2002)).flops_per_unit / (16 * 2)
    assert got == 2 * ((num_draws + 4) * forward - first_layer)


def test_a_choice_among_draws_passes_each_through_the_encoder_once_and_through_the_head_per_atom_and_step():
    network, train = FieldConfig(width=64, depth=2, head_width=8), replace(CONFIG.critic.train, batch_size=16)
    config = replace(CONFIG, critic=replace(CONFIG.critic, network=network, train=train, num_members=2))
    dataset = updates.random_dataset(2002)
    best, any_draw = (updates.method_case(name, config, dataset).flops_per_unit for name in ("evor_best4", "evor"))
    chunk_size = config.policy.chunk_length * updates.ACT_SIZE
    encoder = (updates.OBS_SIZE + chunk_size) * 64 + 64 * 64 + 64 * (5 * 8 + 1)
    head = 2 * 8 + 8 * 8 + 8
    atoms, steps = ATOMS_AND_STEPS["mean"]
    assert (best - any_draw) / (16 * 2) == 2 * 4 * (encoder + atoms * steps * head)
