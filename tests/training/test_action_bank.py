"""The action bank against draws made one by one, and against a kill."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from evor_eqx.config import FieldConfig, PolicyConfig
from evor_eqx.errors import UserError
from evor_eqx.policy import make_policy
from evor_eqx.training import action_bank

KEY = jax.random.key(0)
POLICY = make_policy(PolicyConfig(network=FieldConfig(width=16, depth=1)), obs_size=3, chunk_size=2, key=KEY)
OBS = np.random.default_rng(0).normal(size=(600, 3)).astype(np.float32)  # more than two blocks of 512 draws


def make(path, **options):
    return action_bank.action_bank(POLICY, OBS, 2, 10, path, key=KEY, **options)


def test_it_holds_the_draws_of_each_row_whatever_the_block(tmp_path):
    draws = make(tmp_path / "bank.npy")
    assert draws.shape == (600, 2, 2)
    for row in (0, 255, 256, 599):
        expected = POLICY.sample(jnp.asarray(OBS[row]), 2, 10, key=jax.random.fold_in(KEY, row))
        np.testing.assert_allclose(draws[row], expected, atol=1e-5)


def test_it_is_made_once_and_then_read_from_disk(tmp_path, monkeypatch):
    first = np.array(make(tmp_path / "bank.npy"))
    monkeypatch.setattr(action_bank, "_make", None)  # making it again would fail
    again = make(tmp_path / "bank.npy")
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, first)


def test_one_that_other_weights_drew_is_refused(tmp_path):
    make(tmp_path / "bank.npy", drawn_by="one")
    make(tmp_path / "bank.npy", drawn_by="one")
    with pytest.raises(UserError, match="draws of a base policy of other weights"):
        make(tmp_path / "bank.npy", drawn_by="two")


def test_one_that_was_deleted_is_made_anew_though_it_is_cut_off_before_it_is_first_saved(tmp_path, monkeypatch):
    whole, blocks = np.array(make(tmp_path / "bank.npy")), action_bank._blocks
    (tmp_path / "bank.npy").unlink()  # as the message about a damaged bank says; its seal stays

    def cut_off(*args):
        yield from itertools.islice(blocks(*args), 1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(action_bank, "_blocks", cut_off)
        make(tmp_path / "bank.npy")
    np.testing.assert_array_equal(make(tmp_path / "bank.npy"), whole)


def test_one_that_was_cut_off_is_taken_up_where_it_stopped(tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    monkeypatch.setattr(action_bank, "BLOCK", 2 * 64)
    monkeypatch.setattr(action_bank, "_SAVE_EVERY", 2)
    whole, blocks, started = np.array(make(tmp_path / "whole.npy")), action_bank._blocks, []

    def cut_off(policy, obs, num_draws, num_steps, first, key):
        started.append(first)
        for start, block in blocks(policy, obs, num_draws, num_steps, first, key):
            if len(started) == 1 and start >= 5 * 64:
                raise Killed
            yield start, block

    monkeypatch.setattr(action_bank, "_blocks", cut_off)
    with pytest.raises(Killed):
        make(tmp_path / "bank.npy")
    assert not (tmp_path / "bank.npy").exists()
    np.testing.assert_array_equal(make(tmp_path / "bank.npy"), whole)
    assert started == [0, 4 * 64]  # saved after every second block
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bank.npy", "bank.seal", "whole.npy", "whole.seal"]
