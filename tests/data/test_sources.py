"""Where data come from: the rule of origins, and downloads from a server on this machine that misbehaves."""

import dataclasses
import hashlib
import http.server
import io
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evor_eqx.config import DataConfig, TrainConfig
from evor_eqx.data import file_checks, loading, sources
from evor_eqx.data.download import download
from evor_eqx.data.generation.recipes import RECIPES
from evor_eqx.data.sources import SPLITS
from evor_eqx.envs.tasks import parse_task
from evor_eqx.errors import UserError
from evor_eqx.pipeline import stages
from evor_eqx.presets import preset
from evor_eqx.system import paths

MAZE = "pointmaze-medium-navigate-v0"
TASK = parse_task("pointmaze-medium-navigate-task1")


@pytest.fixture(autouse=True)
def folders(monkeypatch, tmp_path):
    """Our home and OGBench's folder, both empty; episodes of 30 rows."""
    monkeypatch.setenv("EVOR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("EVOR_MIRRORS", raising=False)
    monkeypatch.setattr(paths, "ogbench_dir", lambda: tmp_path / "ogbench")
    recipe = dataclasses.replace(RECIPES[MAZE], episode_steps=30, num_episodes=2)
    monkeypatch.setitem(RECIPES, MAZE, recipe)
    return tmp_path


def dataset_bytes(seed: int, num_episodes: int = 2) -> bytes:
    """A published file in small: episodes of 30 rows in the maze."""
    rng, rows = np.random.default_rng(seed), 30 * num_episodes
    arrays = {key: rng.uniform(0, 20, (rows, 2)).astype(np.float32) for key in ("observations", "actions", "qvel")}
    arrays |= {
        "actions": arrays["actions"] / 10 - 1,
        "qpos": arrays["observations"],
        "terminals": np.arange(rows) % 30 == 29,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


TRAIN, VAL = dataset_bytes(0), dataset_bytes(1, 1)


class Mirror(http.server.ThreadingHTTPServer):
    """Serves `files`; `faults` are used up, one per request: cut (the connection ends early) or 503."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {f"{MAZE}.npz": TRAIN, f"{MAZE}-val.npz": VAL}
        self.faults, self.requests = [], []
        self.url = f"http://127.0.0.1:{self.server_port}/data"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self):
        name = self.path.removeprefix("/data/")
        self.server.requests.append(name)
        fault = self.server.faults.pop(0) if self.server.faults else None
        body = self.server.files.get(name)
        if body is None or fault == 503:
            self.send_error(404 if body is None else 503)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def mirrors():
    servers = [Mirror(), Mirror()]
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


def fetch(*mirrors, **options):
    return download(MAZE, mirrors=[mirror.url for mirror in mirrors], first_wait=0.01, **options)


def published_files(folders):
    folder = folders / "home" / "data" / "published"
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


# Downloads.


def test_a_download_is_the_servers_bytes_with_a_manifest_and_is_not_repeated(mirrors, folders):
    path = fetch(mirrors[0])
    assert path.read_bytes() == TRAIN
    assert published_files(folders) == [f"{MAZE}-val.npz", f"{MAZE}.json", f"{MAZE}.npz"]
    fetch(mirrors[0])
    assert mirrors[0].requests == [f"{MAZE}.npz", f"{MAZE}-val.npz"]


def test_cut_connections_and_refusals_are_tried_again(mirrors):
    mirrors[0].faults = ["cut", 503]
    assert fetch(mirrors[0]).read_bytes() == TRAIN
    assert mirrors[0].requests.count(f"{MAZE}.npz") == 3


@pytest.mark.parametrize("body", [TRAIN[:-100], b"<html>come back later</html>", b""])
def test_a_file_that_is_not_whole_on_the_server_is_never_kept(mirrors, folders, body):
    mirrors[0].files[f"{MAZE}.npz"] = body
    with pytest.raises(UserError, match=rf"could not download {MAZE}.npz in 2 tries.*not a whole .npz"):
        fetch(mirrors[0], num_tries=2)
    assert published_files(folders) == []


def test_a_server_that_always_cuts_leaves_nothing(mirrors, folders):
    mirrors[0].faults = ["cut"] * 2
    with pytest.raises(UserError, match="could not download"):
        fetch(mirrors[0], num_tries=2)
    assert published_files(folders) == []


def test_an_archive_of_something_else_is_refused(mirrors):
    buffer = io.BytesIO()
    np.savez(buffer, observations=np.zeros(3))
    mirrors[0].files[f"{MAZE}.npz"] = buffer.getvalue()
    with pytest.raises(UserError, match="no actions, qpos, terminals"):
        fetch(mirrors[0], num_tries=1)


def test_the_second_mirror_helps_out(mirrors):
    mirrors[0].files.clear()
    assert fetch(*mirrors).read_bytes() == TRAIN
    assert len(mirrors[0].requests) == 2


def test_mirrors_can_be_named_in_the_environment(mirrors, monkeypatch):
    monkeypatch.setenv("EVOR_MIRRORS", mirrors[1].url)
    assert download(MAZE).read_bytes() == TRAIN


@pytest.mark.parametrize("damage", ["deleted", "altered"])
def test_a_later_download_must_be_the_same_as_the_first(mirrors, damage):
    path = fetch(mirrors[0])
    path.unlink() if damage == "deleted" else path.write_bytes(b"altered")
    before = path.read_bytes() if path.exists() else None
    mirrors[0].files[f"{MAZE}.npz"] = other = dataset_bytes(7)
    with pytest.raises(UserError, match=r"differs from the first download: got SHA-256 \w+, expected \w+") as error:
        fetch(mirrors[0])
    for sha in (hashlib.sha256(other).hexdigest(), hashlib.sha256(TRAIN).hexdigest(), f"{MAZE}.npz"):
        assert sha in str(error.value)
    assert (path.read_bytes() if path.exists() else None) == before
    mirrors[0].files[f"{MAZE}.npz"] = TRAIN
    assert fetch(mirrors[0]).read_bytes() == TRAIN


def test_a_mirror_with_another_file_than_the_first_download_does_not_stop_the_others(mirrors):
    path = fetch(mirrors[1])
    path.unlink()
    mirrors[0].files[f"{MAZE}.npz"] = dataset_bytes(7)
    assert fetch(*mirrors).read_bytes() == TRAIN
    assert mirrors[0].requests == [f"{MAZE}.npz"]  # it was asked first


# The rule of origins.


def put_in_ogbench_folder(folders, names=(f"{MAZE}.npz", f"{MAZE}-val.npz")):
    (folders / "ogbench").mkdir(exist_ok=True)
    for name in names:
        (folders / "ogbench" / name).write_bytes(VAL if "val" in name else TRAIN)


def test_the_published_pair_in_ogbenchs_folder_comes_first_and_is_not_touched(folders):
    put_in_ogbench_folder(folders)
    found = sources.find_or_make("pointmaze-medium-navigate")
    assert sources.find("pointmaze-medium-navigate") == found
    assert found.origin == "ogbench" and {file.parent for file in found.files(*SPLITS)} == {folders / "ogbench"}
    assert sorted(os.listdir(folders / "ogbench")) == [f"{MAZE}-val.npz", f"{MAZE}.npz"]
    sources.verify(found)


def test_a_number_of_episodes_means_generated_data(folders):
    assert sources.find(MAZE) is None
    put_in_ogbench_folder(folders)
    assert sources.find(MAZE, num_episodes=1) is None
    made = sources.find_or_make(MAZE, num_episodes=1)
    assert sources.find(MAZE, num_episodes=1) == made and sources.find(MAZE, num_episodes=1, seed=1) is None
    assert made.origin == sources.find_or_make(MAZE, published=False).origin == "generated"
    assert {file.parent for file in made.files(*SPLITS)} == {folders / "home" / "data"}
    assert made.details["versions"]["ogbench"]
    sources.verify(made)


def test_half_a_published_pair_is_not_mixed_with_generated_data(folders):
    put_in_ogbench_folder(folders, [f"{MAZE}.npz"])
    made = sources.find_or_make(MAZE)
    assert (made.origin, made.details["num_episodes"]) == ("generated", 2)


def test_a_download_is_found_again_without_the_network(mirrors, monkeypatch):
    monkeypatch.setenv("EVOR_MIRRORS", mirrors[0].url)
    first = sources.find_or_make(MAZE, download=True)
    mirrors[0].files.clear()
    assert sources.find_or_make(MAZE) == first
    assert first.origin == "downloaded"


def test_fingerprints_follow_the_content_not_the_place(folders, mirrors, monkeypatch):
    monkeypatch.setenv("EVOR_MIRRORS", mirrors[0].url)
    downloaded = sources.find_or_make(MAZE, download=True)
    put_in_ogbench_folder(folders)
    assert sources.find_or_make(MAZE).fingerprint == downloaded.fingerprint
    assert sources.find_or_make(MAZE, num_episodes=1).fingerprint != downloaded.fingerprint


def test_generated_data_are_found_though_the_published_files_of_the_dataset_are_damaged(mirrors, monkeypatch):
    monkeypatch.setenv("EVOR_MIRRORS", mirrors[0].url)
    made, downloaded = sources.find_or_make(MAZE, num_episodes=1), sources.find_or_make(MAZE, download=True)
    downloaded.path.write_bytes(TRAIN[:-50])
    assert sources.by_fingerprint(MAZE, made.fingerprint) == made
    with pytest.raises(UserError, match=f"damaged file {downloaded.path}"):
        sources.by_fingerprint(MAZE, downloaded.fingerprint)


def test_a_folder_is_found_though_files_that_are_looked_at_before_it_are_damaged(folders, mirrors, monkeypatch):
    monkeypatch.setenv("EVOR_MIRRORS", mirrors[0].url)
    made, downloaded = sources.find_or_make(MAZE, num_episodes=1), sources.find_or_make(MAZE, download=True)
    given = sources.find_or_make(MAZE, folder=shards(folders / "given", 7))
    downloaded.path.write_bytes(TRAIN[:-50])
    made.path.with_suffix(".json").write_text("{")
    assert sources.by_fingerprint(MAZE, given.fingerprint) == given


def test_contradictions_are_refused():
    with pytest.raises(UserError, match="fixed number of episodes"):
        sources.find_or_make(MAZE, num_episodes=3, download=True)
    with pytest.raises(UserError, match="no published files"):
        sources.find_or_make(MAZE, published=True)


# Arrays.


def test_rows_carry_ogbenchs_rewards():
    made = sources.find_or_make(MAZE, num_episodes=2)
    arrays = loading.load_arrays(made, TASK, "train")
    goal = np.array([5 * 4.0 + 0, 5 * 4.0 + 0])  # cell (6, 6): column 6 * 4 - 4, row 6 * 4 - 4
    solved = np.linalg.norm(arrays["qpos"] - goal, axis=1) <= 1.0
    assert np.array_equal(arrays["rewards"], np.where(solved, 0.0, -1.0))
    assert np.array_equal(arrays["masks"], ~solved)
    assert np.flatnonzero(arrays["valids"] == 0).tolist() == [29, 59]
    assert "rewards" not in loading.load_arrays(made, None, "val")


@pytest.mark.parametrize("is_given", [False, True])
def test_reading_leaves_numpys_global_generator_as_it_was(folders, is_given):
    """OGBench's mazes draw from it as they are made; files of a folder are checked by the sizes of one."""
    folder = shards(folders / "many", 0) if is_given else None
    made = sources.find_or_make(MAZE, num_episodes=None if is_given else 1, folder=folder)
    file_checks._sizes.cache_clear()
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.uniform(size=3)  # noqa: NPY002
    for task in (None, TASK):
        np.random.seed(5)  # noqa: NPY002
        loading.load_arrays(made, task, "train")
        np.testing.assert_array_equal(np.random.uniform(size=3), expected)  # noqa: NPY002


def test_sparse_rewards_are_minus_one_wherever_the_task_goes_on(monkeypatch):
    scene = "scene-play-v0"
    recipe = dataclasses.replace(RECIPES[scene], episode_steps=30)
    monkeypatch.setitem(RECIPES, scene, recipe)
    made = sources.find_or_make(scene, num_episodes=2)
    dense, sparse = (
        loading.load_arrays(made, parse_task(f"{group}-task1"), "train")
        for group in ("scene-play", "scene-play-sparse")
    )
    assert np.array_equal(sparse["rewards"], -dense["masks"])
    assert np.array_equal(sparse["masks"], dense["masks"]) and dense["rewards"].min() < -1


def test_a_task_of_another_dataset_is_refused():
    made = sources.find_or_make(MAZE, num_episodes=1)
    with pytest.raises(UserError, match="does not belong to"):
        loading.load_arrays(made, parse_task("cube-single-play"), "train")


def test_damaged_files_are_named():
    made = sources.find_or_make(MAZE, num_episodes=1)
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[:-50])
    with pytest.raises(UserError, match=rf"{made.path.name}.*bytes, expected {len(whole)}"):
        loading.load_arrays(made, TASK, "train")
    made.path.write_bytes(whole[:400] + b"damage" + whole[406:])
    with pytest.raises(UserError, match=made.path.name):
        loading.load_arrays(made, TASK, "train")
    with pytest.raises(UserError, match=rf"{made.path.name}.*SHA-256"):
        sources.verify(made)
    made.path.unlink()
    with pytest.raises(UserError, match=rf"{made.path.name}.*no file"):
        loading.load_arrays(made, TASK, "train")
    other = sources.find_or_make(MAZE, num_episodes=2)
    assert sources.by_fingerprint(MAZE, other.fingerprint) == other  # whatever became of those beside it
    assert sources.find_or_make(MAZE, num_episodes=1).fingerprint == made.fingerprint


# A folder of many files.


def shards(folder, *seeds):
    """Pairs of files of two episodes each, and one for validation."""
    folder.mkdir()
    for number, seed in enumerate(seeds):
        (folder / f"{MAZE}-{number:03d}.npz").write_bytes(dataset_bytes(seed))
        (folder / f"{MAZE}-{number:03d}-val.npz").write_bytes(dataset_bytes(100 + seed, 1))
    return folder


def test_a_folder_is_one_dataset_with_the_rows_of_all_its_files(folders):
    many = sources.find_or_make(MAZE, folder=shards(folders / "many", 0, 1, 2))
    assert many.origin == "folder" and len(many.files("train")) == len(many.files("val")) == 3
    alone = [sources.find_or_make(MAZE, folder=shards(folders / str(seed), seed)) for seed in (0, 1, 2)]
    assert len({many.fingerprint, *(one.fingerprint for one in alone)}) == 4
    for split in SPLITS:
        rows, parts = loading.load_arrays(many, TASK, split), [loading.load_arrays(one, TASK, split) for one in alone]
        for name, array in rows.items():
            np.testing.assert_array_equal(array, np.concatenate([part[name] for part in parts]))
        dataset, pieces = (
            loading.load_dataset(many, TASK, split),
            [loading.load_dataset(one, TASK, split) for one in alone],
        )
        assert isinstance(dataset.obs, np.memmap)
        for name in ("obs", "act", "reward", "mask"):
            np.testing.assert_array_equal(getattr(dataset, name), np.concatenate([getattr(p, name) for p in pieces]))
        lengths = np.cumsum([0, *(len(piece.obs) for piece in pieces)])
        ends = [piece.last_row + first for piece, first in zip(pieces, lengths, strict=False)]
        np.testing.assert_array_equal(dataset.last_row, np.concatenate(ends))


def test_a_folder_that_was_read_is_found_again_by_its_fingerprint(folders, monkeypatch):
    shards(folders / "many", 0, 1)
    monkeypatch.chdir(folders)
    made, other = (sources.find_or_make(MAZE, folder=Path(name)) for name in ("many", shards(folders / "other", 2)))
    monkeypatch.chdir("/")
    assert sources.by_fingerprint(MAZE, made.fingerprint) == made != other
    more = [file.rename(folders / "many" / f"more-{file.name}") for file in shards(folders / "more", 3).iterdir()]
    assert sources.find_or_make(MAZE, folder=folders / "many").fingerprint != made.fingerprint
    for file in more:  # read meanwhile, and gone again
        file.unlink()
    assert sources.by_fingerprint(MAZE, made.fingerprint) == made
    made.files("val")[0].unlink()
    assert sources.by_fingerprint(MAZE, other.fingerprint) == other
    with pytest.raises(UserError, match=f"no dataset {MAZE} with fingerprint {made.fingerprint}"):
        sources.by_fingerprint(MAZE, made.fingerprint)


def test_a_folder_without_pairs_is_named(folders):
    with pytest.raises(UserError, match=r"no dataset in .*nothing.*NAME-val.npz"):
        sources.find_or_make(MAZE, folder=folders / "nothing")
    (shards(folders / "many", 0, 1) / f"{MAZE}-001-val.npz").unlink()
    with pytest.raises(UserError, match=f"no file .*{MAZE}-001-val.npz"):
        sources.find_or_make(MAZE, folder=folders / "many")


@pytest.mark.slow
def test_training_on_many_files_is_training_on_their_rows(folders):
    def losses(folder):
        train = TrainConfig(num_updates=20, batch_size=16, log_every=10, checkpoint_every=20)
        smoke = preset("smoke")
        config = replace(smoke, data=DataConfig(folder=str(folder)), policy=replace(smoke.policy, train=train))
        return stages.ensure_policy(parse_task(MAZE), config).run.metrics()["loss"]

    many, one = shards(folders / "many", 0, 1), folders / "one"
    one.mkdir()
    for kind in ("", "-val"):
        files = [dict(np.load(many / f"{MAZE}-{number:03d}{kind}.npz")) for number in (0, 1)]
        np.savez(one / f"{MAZE}{kind}.npz", **{k: np.concatenate([file[k] for file in files]) for k in files[0]})
    np.testing.assert_allclose(losses(many), losses(one), rtol=1e-4)
