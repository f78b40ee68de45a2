"""Files that somebody brings along: what is not of the dataset is refused with file, array, row and value."""

import numpy as np
import pytest

from evor_eqx.data.file_checks import check_file
from evor_eqx.errors import UserError

MAZE = "pointmaze-medium-navigate-v0"


def arrays(**changes):
    rng = np.random.default_rng(0)
    rows = 60
    terminals = np.zeros(rows)
    terminals[19::20] = 1
    found = {"observations": rng.uniform(0, 20, (rows, 2)), "actions": rng.uniform(-1, 1, (rows, 2))}
    found |= {"terminals": terminals, "qpos": np.zeros((rows, 2)), "qvel": np.zeros((rows, 2))} | changes
    return {name: array for name, array in found.items() if array is not None}


def put(name, place, value):
    changed = arrays()[name]
    changed[place] = value
    return {name: changed}


@pytest.mark.parametrize("changes", [{}, {"observations": np.zeros((60, 2), int)}, put("actions", (3, 1), 1.000001)])
def test_what_fits_is_taken(tmp_path, changes):
    np.savez(tmp_path / "a.npz", **arrays(**changes))
    check_file(tmp_path / "a.npz", MAZE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timeouts": np.zeros(60)}, "timeouts.*terminals 1 at the last step.*custom_task"),
        (put("observations", (57, 1), np.nan), "nan in observations, row 57, coordinate 1.*finite"),
        (put("actions", (5, 0), -np.inf), "-inf in actions, row 5, coordinate 0"),
        (put("actions", (7, 1), 5.0), "the action 5 in row 7, coordinate 1, expected -1 to 1.*clip"),
        (
            {"observations": np.zeros((60, 29))},
            r"observations of .* shape \(60, 29\), expected \[rows, 2\]",
        ),
        ({"observations": np.zeros((60, 1, 2))}, r"shape \(60, 1, 2\)"),
        ({"actions": np.zeros(60)}, r"actions of type float64 and shape \(60,\)"),
        ({"actions": np.zeros((59, 2))}, "rows: observations 60, actions 59, terminals 60"),
        ({"terminals": None}, "no terminals, expected observations, actions, terminals"),
        ({"observations": np.array([[0, 1]] * 60, object)}, "cannot be read as numbers"),
        ({name: array[:0] for name, array in arrays().items()}, "rows: observations 0"),
    ],
)
def test_what_does_not_is_refused(tmp_path, changes, words):
    np.savez(tmp_path / "a.npz", **arrays(**changes))
    with pytest.raises(UserError, match=rf"a\.npz: got .*{words}") as caught:
        check_file(tmp_path / "a.npz", MAZE)
    assert "damaged" not in str(caught.value) and "leave it out" in str(caught.value)


def test_a_file_of_another_environment_is_known_by_its_name(tmp_path):
    for name in ("pointmaze-large-navigate-v0_e3_s0.npz", "pointmaze-medium-slippery-navigate-v0.npz"):
        np.savez(tmp_path / name, **arrays())
    with pytest.raises(UserError, match="a file of pointmaze-large by its name, expected files of pointmaze-medium"):
        check_file(tmp_path / "pointmaze-large-navigate-v0_e3_s0.npz", MAZE)
