"""`describe`: what data hold, from whatever names them."""

import numpy as np
import pytest

import evor_eqx as evor
from evor_eqx.data.loading import load_arrays
from evor_eqx.data.sources import find_or_make
from evor_eqx.errors import UserError

TASK = "pointmaze-medium-navigate-task1"


def test_a_task_of_ogbench_is_described_by_its_own_rewards():
    table = evor.describe(evor.parse_task(TASK), num_episodes=2)
    task = evor.parse_task(TASK)
    rows = load_arrays(find_or_make(task.dataset, num_episodes=2), task, "train")
    cuts = np.flatnonzero(rows["valids"] == 0)
    returns = [part[:-1].sum() for part in np.split(rows["rewards"], cuts[:-1] + 1)]
    assert table.rows["episodes"][0] == "2"
    assert table.rows["steps"][0] == f"{int(rows['valids'].sum()):,}"
    assert table.rows["return of an episode, undiscounted"][0].startswith(f"{min(returns):.4g} to {max(returns):.4g}")
    assert table.rows["discount"] == ("0.99 per step",)
    assert str(evor.describe(TASK, num_episodes=2)) == str(table)


def test_a_dataset_of_ogbench_has_no_rewards_and_no_discount():
    table = evor.describe("pointmaze-medium-navigate", num_episodes=2)
    assert table.rows["rewards"] == ("0 to 0", "0 to 0") and "discount" not in table.rows


def test_rows_are_described_as_their_file_is(tmp_path):
    ends = np.array([0.0, 0, 0, 1] * 3)
    arrays = {"observations": np.arange(24.0).reshape(12, 2), "actions": np.tile([[-0.5], [0.5]], (6, 1))}
    arrays |= {"rewards": np.ones(12), "terminals": ends, "timeouts": 0 * ends}
    np.savez(tmp_path / "rows.npz", **arrays)
    rows = evor.describe(evor.OfflineDataset.from_arrays(**arrays)).rows
    assert evor.describe(tmp_path / "rows.npz").rows == rows and rows["ended by the task"] == ("3; 0 were cut",)


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="pointmaze-tiny"):
        evor.describe("pointmaze-tiny-navigate")
