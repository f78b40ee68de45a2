"""Bad files and Minari datasets of the user's own: each is refused in words, before anything is trained or written."""

import zipfile

import gymnasium
import numpy as np
import pytest
from data.test_bad_own_data import ENDS, NONE, as_for_a_user, box, case, put, refused, rows, task  # noqa: F401
from gymnasium import spaces

from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.minari import minari_task


def file(name, write):
    """Something that writes a file into a folder, and returns its path."""

    def given(folder):
        write(folder / name)
        return folder / name

    return given


def npz(arrays, name="a.npz"):
    return file(name, lambda path: np.savez(path, **arrays))


def text(name, said="0 0 0"):
    return file(name, lambda path: path.write_text(said))


def parquet(num_rows=1, **columns):
    import pyarrow
    import pyarrow.parquet

    columns = {"actions": [[0.0]] * num_rows, "rewards": [1.0] * num_rows, "valids": [0] * num_rows, **columns}
    return file("a.parquet", lambda path: pyarrow.parquet.write_table(pyarrow.table(columns), path))


def folder_of(*files):
    """Something that writes files into a folder, and returns the folder."""

    def given(folder):
        for each in files:
            each(folder)
        return folder

    return given


def truncated(path):
    np.savez(path, **rows())
    path.write_bytes(path.read_bytes()[:-50])


def damaged(path):
    np.savez_compressed(path, **rows())
    content = bytearray(path.read_bytes())
    content[60:90] = b"?" * 30
    path.write_bytes(content)


def array_alone(path):
    with open(path, "wb") as content:
        np.save(content, np.zeros(3))


def archive_of_text(path):
    with zipfile.ZipFile(path, "w") as content:
        content.writestr("observations.npy", "0 0 0")


def hdf5_group(path):
    import h5py

    with h5py.File(path, "w") as content:
        content.create_group("observations")


FILES = [
    case("missing", lambda folder: folder / "a.npz", "no data", "a.npz", "no such file", "check the name"),
    case("an empty folder", folder_of(), "no data", "without any", ".npz", "check the name"),
    case("hidden only", folder_of(npz(rows(), ".a.npz")), "no data", "without any", "not hidden"),
    case("other files only", folder_of(text("a.csv")), "no data", "without any", ".npz"),
    case("validation files only", folder_of(npz(rows(), "a-val.npz")), "a-val.npz", "do not end", "validation=True"),
    case("wrong suffix", text("a.csv"), "a.csv", "'.csv'", ".npz", "convert it"),
    case("no suffix", text("data"), "data", "''", ".npz", "convert it"),
    case("empty", text("a.npz", ""), "a.npz", "got no NPZ file"),
    case("text", text("a.npz"), "a.npz", "got no NPZ file"),
    case("truncated", file("a.npz", truncated), "a.npz", "got no NPZ file"),
    case("damaged", file("a.npz", damaged), "a.npz", "arrays that can be read"),
    case("an array alone", file("a.npz", array_alone), "a.npz", "got no NPZ file"),
    case("text in an archive", file("a.npz", archive_of_text), "a.npz", "observations"),
    case("objects", npz(rows(actions=np.full((6, 2), None))), "a.npz", "Object arrays", "arrays that can be read"),
    case("arrays missing", npz(rows(rewards=None)), "a.npz", "rewards", "no such array"),
    case("terminals alone", npz(rows(timeouts=None)), "a.npz", "terminals alone", "give timeouts"),
    case("NaN", npz(put("rewards", 4, np.nan)), "a.npz", "rewards", "nan", "row 4"),
    case("text as HDF5", text("a.hdf5"), "a.hdf5", "OSError", "arrays that can be read"),
    case("a group in HDF5", file("a.h5", hdf5_group), "a.h5", "arrays that can be read"),
    case("text as Parquet", text("a.parquet"), "a.parquet", "Parquet", "arrays that can be read"),
    case("strings in Parquet", parquet(observations=["left"]), "a.parquet", "observations", "<U4", "numbers"),
    case("nothing in Parquet", parquet(observations=[[0.0, None]]), "a.parquet", "observations", "object"),
    case("numbers in Parquet", parquet(observations=[0.0]), "a.parquet", "observations", "(1,)", "add an axis"),
    case("no end in Parquet", parquet(observations=[[0.0]], valids=[1]), "a.parquet", "ends of episodes", "row, 0"),
    case("ragged Parquet", parquet(2, observations=[[0.0], [0.0, 1.0]]), "a.parquet", "observations", "lengths"),
    case("two sizes", folder_of(npz(rows()), npz(rows(obs_size=3), "b.npz")), "b.npz", "(3, 2)", "(2, 2) as in a.npz"),
    case("a bad second file", folder_of(npz(rows()), npz(rows(timeouts=NONE), "b.npz")), "b.npz", "begins in row 0"),
]


@pytest.mark.parametrize(("given", "words"), FILES)
def test_files(tmp_path, given, words):
    (tmp_path / "given").mkdir()
    refused(words, OfflineDataset.from_file, given(tmp_path / "given"))


def test_validation_files_that_are_not_there(tmp_path):
    folder = folder_of(npz(rows()))(tmp_path)
    refused(["no validation data", "a.npz", "end in -val"], OfflineDataset.from_file, folder, validation=True)


def test_actions_outside_are_found_in_the_second_file_of_a_folder(tmp_path):
    """Also where the first file has rows that were added for the last states of its episodes."""
    first, second = npz(rows(terminals=ENDS, timeouts=NONE)), npz(put("actions", (4, 0), 7.0), "b.npz")
    dataset = OfflineDataset.from_file(folder_of(first, second)(tmp_path))
    refused(["actions of train", "7", "row 4 of b.npz", "coordinate 0"], task, train=dataset, bounds=(-1, 1))


# Datasets of Minari.


def recorded(num_episodes, env=None):
    """A dataset of a few steps; its id."""
    import minari

    collector = minari.DataCollector(env or gymnasium.make("MountainCarContinuous-v0", max_episode_steps=4))
    for seed in range(num_episodes):
        collector.reset(seed=seed)
        while not any(collector.step(collector.action_space.sample())[2:4]):
            pass
    about = {"algorithm_name": "random", "author": "nobody", "author_email": "none@example.org"}
    collector.create_dataset("mine/few-v0", **about)
    return "mine/few-v0"


@pytest.mark.parametrize("share", [0, 1, 2, -0.5, np.nan, "0.1", None, True])
def test_a_share_that_is_none(share):
    refused(["validation_share", repr(share), "0 and 1"], minari_task, "mine/none-v0", validation_share=share)


@pytest.mark.parametrize("name", ["mine/none-v0", "hopper", "", "a/b/c/d-v0", None])
def test_a_dataset_that_is_not_there(name):
    refused(["Minari", repr(name), "none"], minari_task, name)


def test_one_episode_cannot_be_split():
    refused(["mine/few-v0", "1 episodes", "at least two"], minari_task, recorded(1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": -1}, ["seed", "-1"]),
        ({"gamma": 1}, ["gamma", "1"]),
        ({"name": "a/b"}, ["name of the task", "'a/b'"]),
    ],
)
def test_other_options_of_minari(options, words):
    refused(words, minari_task, recorded(2), **options)


def test_discrete_actions_of_minari():
    words = ["mine/few-v0", "action space", "Discrete(2)", "continuous"]
    refused(words, minari_task, recorded(2, gymnasium.make("CartPole-v1", max_episode_steps=4)))


def transformed(function, space):
    """An environment that Minari cannot write down, because it holds a function."""
    env = gymnasium.make("MountainCarContinuous-v0", max_episode_steps=4)
    return gymnasium.wrappers.TransformObservation(env, function, space)


def test_observations_of_minari_that_are_dictionaries():
    env = transformed(lambda obs: {"state": obs}, spaces.Dict(state=box(2)))
    refused(["mine/few-v0", "observation space", "Dict", "Flatten"], minari_task, recorded(2, env), with_env=False)


def test_an_environment_of_minari_that_cannot_be_made_again():
    env = transformed(lambda obs: obs / 2, spaces.Box(-2, 2, (2,), np.float32))
    refused(["make_env of mine-few-v0", "mend it"], minari_task, recorded(2, env))
