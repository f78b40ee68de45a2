"""`describe`: what data hold, from whatever names them."""

import math

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
    assert "speed" in table.rows


def test_a_maze_is_described_by_speed_and_visited_cells_too():
    """A naive loop over the rows, with OGBench's own cells."""
    task = evor.parse_task(TASK)
    rows = load_arrays(find_or_make(task.dataset, num_episodes=2), task, "train")
    env = task.make_env()
    world, places = env.unwrapped, rows["observations"].tolist()
    ways = [math.dist(places[row], places[row + 1]) for row in range(len(places) - 1) if rows["valids"][row]]
    described = evor.describe(task, num_episodes=2).rows
    assert described["speed"][0] == f"median {np.median(ways) / world.dt:.2f} m/s"
    visited, free = {world.xy_to_ij(place) for place in places}, int((world.maze_map == 0).sum())
    assert described["free cells of the maze that are visited"][0] == f"{len(visited)} of {free}"
    assert 0 < len(visited) < free
    env.close()


def test_rows_are_described_as_their_file_is(tmp_path):
    ends = np.array([0.0, 0, 0, 1] * 3)
    arrays = {"observations": np.arange(24.0).reshape(12, 2), "actions": np.tile([[-0.5], [0.5]], (6, 1))}
    arrays |= {"rewards": np.ones(12), "terminals": ends, "timeouts": 0 * ends}
    np.savez(tmp_path / "rows.npz", **arrays)
    rows = evor.describe(evor.OfflineDataset.from_arrays(**arrays)).rows
    assert evor.describe(tmp_path / "rows.npz").rows == rows and rows["ended by the task"] == ("3; 0 were cut",)


def test_with_a_discount_it_counts_the_returns_that_are_known():
    """Weight 0.9^29 of what follows is below 5 %, so a row of an episode of 40 steps is known if it is among the first
    12. Where the task ended all episodes, all returns are known."""

    def episodes(num, ended):
        last = np.arange(40 * num) % 40 == 39
        flags = {"terminals": last & ended, "timeouts": last & (not ended)}
        arrays = {name: np.arange(40.0 * num)[:, None] for name in ("observations", "next_observations")}
        arrays["next_observations"] += 1
        return evor.OfflineDataset.from_arrays(
            **arrays, actions=np.zeros((40 * num, 1)), rewards=np.ones(40 * num), **flags
        )

    rows = evor.custom_task("some", episodes(3, False), episodes(2, True), gamma=0.9, bounds=(-1, 1)).describe().rows
    assert rows["steps with a known return"] == ("36", "80") and "if 29 more steps" in rows["a return is known"][0]


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="pointmaze-tiny"):
        evor.describe("pointmaze-tiny-navigate")
