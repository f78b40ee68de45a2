"""Own data from files: each kind of file gives the rows of the arrays in it."""

import h5py
import numpy as np
import own
import pyarrow
import pyarrow.parquet
import pytest

from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.errors import UserError


def write_npz(path, arrays):
    np.savez(path, **arrays, infos=np.zeros(3))  # other arrays are left alone


def write_hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file["metadata/algorithm"] = "random"
        file["infos/qpos"] = np.zeros((len(arrays["rewards"]), 2))


def write_parquet(path, arrays):
    pyarrow.parquet.write_table(pyarrow.table({name: array.tolist() for name, array in arrays.items()}), path)


def write_lerobot(path, arrays):
    columns = {
        "observation.state": arrays["observations"],
        "action": arrays["actions"],
        "next.reward": arrays["rewards"],
        "next.success": arrays["terminals"],
        "episode_index": np.cumsum(arrays["timeouts"] | arrays["terminals"])
        - (arrays["timeouts"] | arrays["terminals"]),
        "timestamp": np.arange(len(arrays["rewards"])),
    }
    write_parquet(path, columns)


def same(got: OfflineDataset, expected: OfflineDataset) -> None:
    for name in ("obs", "act", "reward", "mask", "last_row", "ended"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


@pytest.mark.parametrize(
    ("suffix", "write"), [("npz", write_npz), ("hdf5", write_hdf5), ("h5", write_hdf5), ("parquet", write_parquet)]
)
def test_a_file_holds_the_rows_of_its_arrays(tmp_path, suffix, write):
    arrays = own.record(3, 0)
    write(tmp_path / f"data.{suffix}", arrays)
    same(OfflineDataset.from_file(tmp_path / f"data.{suffix}"), OfflineDataset.from_arrays(**arrays))


def test_columns_of_lerobot_are_understood(tmp_path):
    arrays = own.record(3, 0)
    arrays["terminals"][19], arrays["timeouts"][19] = True, False  # the task ended the first episode
    write_lerobot(tmp_path / "data.parquet", arrays)
    del arrays["next_observations"]
    same(OfflineDataset.from_file(tmp_path / "data.parquet"), OfflineDataset.from_arrays(**arrays))


def test_a_folder_is_its_files_in_order_without_hidden_ones_and_validation(tmp_path):
    parts = {"b": own.record(2, 5), "a": own.record(3, 0), "a-val": own.record(1, 9)}
    for name, arrays in parts.items():
        write_npz(tmp_path / f"{name}.npz", arrays)
    (tmp_path / ".hidden.npz").write_bytes(b"no data")
    (tmp_path / "notes.txt").write_text("no data")
    joined = {name: np.concatenate([parts["a"][name], parts["b"][name]]) for name in parts["a"]}
    dataset = OfflineDataset.from_file(tmp_path)
    same(dataset, OfflineDataset.from_arrays(**joined))
    same(OfflineDataset.from_file(tmp_path, validation=True), OfflineDataset.from_arrays(**parts["a-val"]))
    assert dataset.where(0) == "row 0 of a.npz" and dataset.where(3 * 21 + 1) == "row 1 of b.npz"


def test_files_of_two_environments_are_told_apart_by_their_sizes(tmp_path):
    arrays = own.record(1, 0)
    write_npz(tmp_path / "a.npz", arrays)
    write_npz(tmp_path / "b.npz", arrays | {"actions": arrays["actions"][:, :1]})
    with pytest.raises(UserError, match=r"b.npz: got observations and actions of sizes \(2, 1\), expected \(2, 2\)"):
        OfflineDataset.from_file(tmp_path)
