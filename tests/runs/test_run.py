"""Run folders: identity, damage, kills in the middle of a line."""

import errno
import json
import os

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.errors import UserError
from evor_eqx.runs.run import Run, all_runs, environment
from evor_eqx.system.json_records import read_lines, write_lines


class State(eqx.Module):
    weights: jnp.ndarray
    step: jnp.ndarray

    @property
    def num_updates(self) -> int:
        return int(self.step)


STATE = State(jnp.arange(3.0), jnp.array(20))
LIKE = State(jnp.zeros(3), jnp.array(0))


def test_the_same_definition_is_the_same_folder_and_another_is_not(home):
    first = Run.of("cube", "policy", {"seed": 0, "width": 3}).open()
    assert Run.of("cube", "policy", {"width": 3, "seed": 0}).open() == first
    assert Run.of("cube", "policy", {"width": 3, "seed": 1}).open() != first
    assert first.config["seed"] == 0
    assert [run.name for run in all_runs()] == sorted(run.name for run in all_runs())
    assert len(all_runs()) == 2


def test_a_folder_can_be_named_without_being_made(home):
    run = Run.of("cube", "policy", {"seed": 0})
    assert run.path.parent == home / "runs" / "cube" and not run.path.parent.exists()
    assert Run.of("cube", "policy", {"seed": 0}).open() == run and run.path.is_dir()


def test_a_snapshot_stays_beside_the_checkpoint(home):
    run = Run.of("cube", "policy", {}).open()
    run.save(STATE.weights, step=10)
    run.save(STATE)
    np.testing.assert_array_equal(run.read(LIKE.weights, step=10), STATE.weights)
    assert run.read(LIKE.weights, step=20) is None and run.restore(LIKE).num_updates == 20


def test_checkpoints_come_back_as_they_were(home):
    run = Run.of("cube", "policy", {}).open()
    assert run.restore(LIKE) is None
    run.save(STATE)
    restored = run.restore(LIKE)
    np.testing.assert_array_equal(restored.weights, STATE.weights)
    assert int(restored.step) == 20


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-7], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b"", lambda b: b[9:]]
)
def test_a_damaged_checkpoint_is_named_and_never_read(home, damage):
    run = Run.of("cube", "policy", {}).open()
    run.save(STATE)
    path = run.path / "checkpoint.eqx"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"checkpoint\.eqx.*delete its folder"):
        run.restore(LIKE)


def test_a_failed_save_keeps_the_checkpoint_before_and_leaves_nothing_behind(home, monkeypatch):
    run = Run.of("cube", "policy", {}).open()
    run.save(STATE)

    def full(*_):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        run.save(State(jnp.ones(3), jnp.array(40)))
    monkeypatch.undo()
    assert int(run.restore(LIKE).step) == 20
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoint.eqx", "config.json", "metrics.jsonl"]


def test_metrics_behind_the_checkpoint_are_dropped_on_resume(home):
    run = Run.of("cube", "policy", {}).open()
    for step in (10, 20, 30):
        run.log(step, {"loss": float(step)})
    run.save(STATE)
    run.restore(LIKE)
    np.testing.assert_array_equal(run.metrics()["step"], [10, 20])


def test_a_line_cut_by_a_kill_is_left_out_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    write_lines(path, [{"step": step} for step in (1, 2, 3)])
    first, second, third, _ = path.read_text().split("\n")
    path.write_text(f"{first}\n{second}\n{third[:4]}")
    assert [row["step"] for row in read_lines(path)] == [1, 2]
    path.write_text(f"{first}\n{second[:4]}\n{third}\n")
    with pytest.raises(UserError, match="line 2"):
        list(read_lines(path))


def test_manifest_says_what_ran_and_whether_it_ended(home):
    run = Run.of("cube", "policy", {}).open()
    assert not run.complete
    run.begin()
    assert run.manifest["status"] == "running" and not run.complete
    run.finish(sizes={"obs_size": 2})
    assert run.complete and run.manifest["sizes"] == {"obs_size": 2}
    assert json.loads(json.dumps(environment())) == environment()
    assert {"jax", "ogbench", "mujoco", "python"} <= set(run.manifest["versions"])


def test_a_snapshot_in_the_place_of_another_and_an_earlier_checkpoint_in_a_finished_run_are_refused(home):
    run, state = Run.of("group", "kind", {}).open(), {"w": jnp.zeros(3)}
    run.begin()
    for step in (1, 2):
        run.save(state, step)
    run.save(state)
    early = (run.path / "checkpoint.eqx").read_bytes()
    run.save({"w": jnp.ones(3)})
    run.finish()
    np.testing.assert_array_equal(run.read(state)["w"], 1)
    (run.path / "snapshot-2.eqx").write_bytes((run.path / "snapshot-1.eqx").read_bytes())
    with pytest.raises(UserError, match="got one of step 1, expected one of step 2"):
        run.read(state, 2)
    (run.path / "checkpoint.eqx").write_bytes(early)
    with pytest.raises(UserError, match="expected that of the finished run"):
        run.read(state)
