"""Windows against a naive loop, on rows whose fields say where they come from."""

import dataclasses
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.data.mapped import mapped
from evor_eqx.data.pieces import part
from evor_eqx.data.windows import HostWindows
from evor_eqx.errors import UserError
from evor_eqx.training.statistics import observation_statistics

LENGTHS = (7, 3, 12)  # rows per episode; the last row of each starts no transition
GAMMA = 0.9


def make_arrays(ended_at=(4, None, 8)):
    """obs = (episode, row in the episode); act = 100 episode + row; the task ends at transition `ended_at`."""
    episode = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    row = np.concatenate([np.arange(n) for n in LENGTHS])
    last = np.array(LENGTHS)[episode] - 1
    masks = np.array([0.0 if ended_at[e] == r else 1.0 for e, r in zip(episode, row, strict=True)])
    return {
        "observations": np.stack([episode, row], axis=1).astype(np.float32),
        "actions": (100.0 * episode + row)[:, None].astype(np.float32),
        "valids": (row < last).astype(np.float32),
        "rewards": (-1.0 - 0.1 * row).astype(np.float32),
        "masks": masks.astype(np.float32),
    }


DATASET = OfflineDataset.from_compact(make_arrays())


def choice(critic, batch, *, key):
    """A choice among draws that chooses nothing."""
    return batch


def naive_return(dataset, row, num_steps):
    """Sum of discounted rewards of at most `num_steps` transitions, stopping where task or episode ends."""
    total, discount, alive = 0.0, 1.0, 1.0
    for step in range(num_steps):
        if row + step >= dataset.last_row[row]:
            break
        total += discount * alive * dataset.reward[row + step]
        alive *= dataset.mask[row + step]
        discount *= GAMMA
    return total, discount, alive


def test_monte_carlo_returns_are_the_naive_sums():
    returns, tails = DATASET.mc_returns(GAMMA)
    for row in DATASET.transitions:
        expected, discount, alive = naive_return(DATASET, row, 1000)
        assert returns[row] == pytest.approx(expected, rel=1e-5)
        assert tails[row] == pytest.approx(discount * alive, rel=1e-5)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_n_step_rewards_are_the_naive_sums(num_steps):
    reward, mask, next_row = DATASET.n_step(num_steps, GAMMA)
    for row in DATASET.transitions:
        expected, discount, alive = naive_return(DATASET, row, num_steps)
        assert reward[row] == pytest.approx(expected, rel=1e-5)
        assert mask[row] == alive
        assert GAMMA ** (next_row[row] - row) == pytest.approx(discount, rel=1e-5)


@pytest.mark.parametrize("chunk_length", [1, 2, 3, 6, 12])
def test_rows_with_a_chunk_are_those_whose_actions_all_lead_to_another_row_of_the_episode(chunk_length):
    rows = np.array([20, 0, 5, 6, 7, 8, 9, 4, 10, 15, 21])
    first_row = np.cumsum((0, *LENGTHS))
    leading = {row for first, num in zip(first_row, LENGTHS, strict=False) for row in range(first, first + num - 1)}
    fitting = [row for row in rows if all(row + k in leading for k in range(chunk_length))]
    np.testing.assert_array_equal(DATASET.with_chunk(rows, chunk_length), fitting)


@pytest.mark.parametrize(("chunk_length", "num_steps"), [(1, 1), (1, 4), (2, 2), (3, 5)])
def test_windows_never_mix_episodes(chunk_length, num_steps):
    windows = DATASET.windows(gamma=GAMMA, chunk_length=chunk_length, num_steps=num_steps)
    batch = windows.sample(500, key=jax.random.key(0))
    episode, row = np.asarray(batch.obs).T
    steps = np.arange(chunk_length)
    assert np.asarray(batch.valid).all()
    np.testing.assert_array_equal(batch.chunk, 100 * episode[:, None] + row[:, None] + steps)
    next_episode, next_row = np.asarray(batch.next_obs).T
    np.testing.assert_array_equal(next_episode, episode)
    np.testing.assert_array_equal(batch.next_chunk, 100 * episode[:, None] + next_row[:, None] + steps)
    assert (next_row - row >= chunk_length).all() and (next_row - row <= num_steps).all()
    assert (next_row + chunk_length <= np.array(LENGTHS)[episode.astype(int)]).all()


def test_sampling_draws_every_valid_window_and_no_other():
    windows = DATASET.windows(gamma=GAMMA, chunk_length=2)
    batch = windows.sample(2000, key=jax.random.key(1))
    drawn = {tuple(obs) for obs in np.asarray(batch.obs)}
    expected = {(e, r) for e, n in enumerate(LENGTHS) for r in range(n - 3)}
    assert drawn == expected


def test_asking_for_a_window_that_leaves_its_episode_says_so():
    windows = DATASET.windows(gamma=GAMMA)
    rows = jnp.array([0, LENGTHS[0] - 1])
    np.testing.assert_array_equal(windows.at(rows, jnp.zeros(2, int)).valid, [True, False])


def test_next_chunks_come_from_the_bank_at_the_bootstrapped_row():
    bank = np.arange(3)[:, None, None] * 1000.0 + np.arange(sum(LENGTHS))[None, :, None]
    windows = DATASET.windows(gamma=GAMMA, num_steps=2, bank=bank.astype(np.float32))
    batch = windows.sample(300, key=jax.random.key(2))
    first_row = np.cumsum((0, *LENGTHS))
    next_episode, next_row = np.asarray(batch.next_obs).T
    draws, rows = np.divmod(np.asarray(batch.next_chunk)[:, 0], 1000)
    np.testing.assert_array_equal(rows, first_row[next_episode.astype(int)] + next_row)
    assert set(draws) == {0, 1, 2}


def test_all_draws_are_those_of_the_bootstrapped_row_and_nothing_else_of_a_batch_changes():
    bank = np.random.default_rng(0).normal(size=(3, sum(LENGTHS), 2)).astype(np.float32)
    options = {"gamma": GAMMA, "chunk_length": 2, "bank": bank}
    batch = DATASET.windows(**options, choose=choice).sample(50, key=jax.random.key(2))
    first_row = np.cumsum((0, *LENGTHS))
    for next_obs, next_draws in zip(np.asarray(batch.next_obs).astype(int), batch.next_draws, strict=True):
        np.testing.assert_array_equal(next_draws, bank[:, first_row[next_obs[0]] + next_obs[1]])
    without = DATASET.windows(**options).sample(50, key=jax.random.key(2))
    assert without.next_draws is None
    jax.tree.map(np.testing.assert_array_equal, dataclasses.replace(batch, next_draws=None, choose=None), without)


@pytest.mark.parametrize(("num_bank_draws", "choose"), [(0, None), (3, None), (3, choice)])
def test_windows_on_the_host_draw_what_windows_on_the_device_draw(num_bank_draws, choose, tmp_path):
    bank = np.random.default_rng(0).normal(size=(num_bank_draws, sum(LENGTHS), 2)).astype(np.float32)
    options = {"gamma": GAMMA, "chunk_length": 2, "num_steps": 3, "bank": bank if num_bank_draws else None}
    options["choose"] = choose
    on_disk = mapped([DATASET], tmp_path)
    assert isinstance(on_disk.obs, np.memmap)
    device, host = DATASET.windows(**options), on_disk.windows(**options, device_bytes=0)
    assert isinstance(host, HostWindows)
    keys = jax.random.split(jax.random.key(4), 3)
    staged = host.stage(50, keys=keys)
    for index, key in enumerate(keys):
        batch = device.sample(50, key=key)
        for other in (jax.tree.map(operator.itemgetter(index), staged), host.sample(50, key=key)):
            jax.tree.map(np.testing.assert_array_equal, other, batch)


@pytest.mark.parametrize("damage", ["a byte", "the end", "more"])
def test_rows_on_the_disk_are_written_once_and_then_compared(tmp_path, damage):
    mapped([DATASET], tmp_path)
    file = tmp_path / "act.float32"
    written = file.stat().st_mtime_ns
    parts = [part(DATASET, 0, LENGTHS[0]), part(DATASET, LENGTHS[0], sum(LENGTHS))]
    again = mapped(parts, tmp_path)
    assert file.stat().st_mtime_ns == written
    for name in ("obs", "act", "reward", "mask", "last_row"):
        np.testing.assert_array_equal(getattr(again, name), getattr(DATASET, name))
    whole = file.read_bytes()
    file.write_bytes({"a byte": b"?" + whole[1:], "the end": whole[:-4], "more": whole + b"more"}[damage])
    with pytest.raises(UserError, match=r"damaged file .*act.float32.*delete it"):
        mapped(parts, tmp_path)
    file.unlink()
    np.testing.assert_array_equal(mapped(parts, tmp_path).act, DATASET.act)


def test_what_is_computed_piece_by_piece_is_what_is_computed_at_once(monkeypatch):
    whole = DATASET.windows(gamma=GAMMA, chunk_length=2, num_steps=3)
    statistics = observation_statistics(DATASET)
    monkeypatch.setattr("evor_eqx.data.dataset.PIECE_ROWS", 8)
    again = OfflineDataset.from_compact(make_arrays())
    assert [len(piece.obs) for piece in again.pieces] == [7, 3, 12]
    jax.tree.map(np.testing.assert_array_equal, again.windows(gamma=GAMMA, chunk_length=2, num_steps=3), whole)
    for one, other in zip(again.mc_returns(GAMMA), DATASET.mc_returns(GAMMA), strict=True):
        np.testing.assert_array_equal(one, other)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), observation_statistics(again), statistics)


def test_statistics_of_what_hardly_varies_are_those_of_double_precision():
    """Single-precision sums over so many rows lose a deviation of 0.0003 around 1.57, and find one in a constant."""
    rng, num_rows = np.random.default_rng(0), 300_000
    noise = rng.normal(size=(2, num_rows))
    obs = np.stack([-1.57 + 3e-4 * noise[0], np.full(num_rows, 0.3), noise[1]], axis=1)
    valids = np.arange(num_rows) % 1000 < 999
    dataset = OfflineDataset.from_compact({"observations": obs, "actions": obs[:, :1], "valids": valids})
    mean, std = observation_statistics(dataset)
    exact = dataset.obs.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=0), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(std, [exact[:, 0].std(), 1.0, exact[:, 2].std()], rtol=1e-5)


def test_a_block_of_many_windows_is_drawn_from_one_segment_and_all_windows_are_as_likely():
    options = {"gamma": GAMMA, "chunk_length": 1}
    windows = DATASET.windows(**options, device_bytes=0).windows
    num, segment = len(windows.starts), 6
    assert num % segment  # the last one is shorter
    host, counts = HostWindows(windows, segment), np.zeros(num)
    place = {tuple(windows.obs[row]): index for index, row in enumerate(windows.starts)}
    for key in jax.random.split(jax.random.key(0), 400):
        batches = host.stage(4, keys=jax.random.split(key, 5))
        drawn = np.array([place[tuple(obs)] for obs in np.asarray(batches.obs).reshape(-1, 2)])
        assert len(np.unique(drawn // segment)) == 1
        np.add.at(counts, drawn, 1)
    in_segment = np.minimum(np.arange(num) // segment * segment + segment, num) - np.arange(num) // segment * segment
    share = np.bincount(np.arange(num) // segment, counts) / counts.sum()
    np.testing.assert_allclose(share, np.bincount(np.arange(num) // segment) / num, atol=4 * np.sqrt(0.25 / 400))
    expected = share[np.arange(num) // segment] / in_segment
    assert scipy.stats.chisquare(counts, expected * counts.sum()).pvalue > 1e-3


def test_data_without_a_task_never_end_and_pay_nothing():
    arrays = make_arrays()
    dataset = OfflineDataset.from_compact({k: arrays[k] for k in ("observations", "actions", "valids")})
    assert (dataset.reward == 0).all() and (dataset.mask == 1).all()


def test_bad_requests_are_named():
    with pytest.raises(UserError, match="n-step 1"):
        DATASET.windows(gamma=GAMMA, chunk_length=2, num_steps=1)
    with pytest.raises(UserError, match="shorter chunks"):
        DATASET.windows(gamma=GAMMA, chunk_length=20)
    with pytest.raises(UserError, match="give the bank"):
        DATASET.windows(gamma=GAMMA, choose=choice)
    with pytest.raises(UserError, match="cut short"):
        OfflineDataset.from_compact({**make_arrays(), "valids": np.ones(sum(LENGTHS))})
