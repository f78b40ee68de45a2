"""Environments that several threads make and reset at once: the same as from one thread, and nothing global is left."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from evor_eqx.envs.generator import global_generator_kept
from evor_eqx.envs.ogbench import maze_layout, seeded_env
from evor_eqx.envs.tasks import parse_task
from evor_eqx.envs.vector import LocalEnvs

TELEPORT, ARM = "pointmaze-teleport-v0", "cube-single-v0"
THREADS = 4
pytestmark = pytest.mark.usefixtures("threads_change_often")


def at_once(function, arguments):
    """What a function returns in threads that begin together."""
    ready = threading.Barrier(len(arguments))

    def begin(argument):
        ready.wait(60)
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(begin, arguments))


def first_obs(named):
    env_id, seed = named
    env = seeded_env(env_id)
    obs, _ = env.reset(seed=seed)
    env.close()
    return obs


def test_environments_made_in_several_threads_begin_as_those_of_one():
    names = [(env_id, seed) for env_id in (TELEPORT, ARM) for seed in range(THREADS // 2)]
    expected = [first_obs(name) for name in names]
    filters = sorted(map(str, warnings.filters))
    for _ in range(3):
        for obs, alone in zip(at_once(first_obs, names), expected, strict=True):
            np.testing.assert_array_equal(obs, alone)
    assert sorted(map(str, warnings.filters)) == filters


def test_making_an_environment_changes_no_filter_of_warnings_that_is_not_its_own(recwarn):
    seeded_env(ARM).close()
    filters = list(warnings.filters)
    seeded_env(ARM).close()
    assert warnings.filters == filters and not recwarn.list
    warnings.warn("heard", UserWarning, stacklevel=1)
    assert [str(each.message) for each in recwarn.list] == ["heard"]


def test_rollouts_of_several_threads_are_those_of_one_and_give_the_generator_back():
    """OGBench draws teleports from the generator of the process."""
    task = parse_task("pointmaze-teleport-navigate-task1")

    def walk(seed):
        envs, rng = LocalEnvs(task.make_env, 5, 1), np.random.default_rng(seed)
        envs.start(np.array([seed]), np.zeros((1, envs.chunk_size)))
        seen = [envs.result()["obs"]]
        for _ in range(40):
            envs.start(np.array([-1]), rng.uniform(-1, 1, (1, envs.chunk_size)))
            seen.append(envs.result()["obs"])
        envs.close()
        return np.concatenate(seen)

    expected = [walk(seed) for seed in range(THREADS)]
    np.random.seed(5)  # noqa: NPY002
    for walked, alone in zip(at_once(walk, range(THREADS)), expected, strict=True):
        np.testing.assert_array_equal(walked, alone)
    maze_layout(task)
    drawn = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert drawn == np.random.random()  # noqa: NPY002


def test_blocks_that_keep_the_generator_never_overlap():
    def draws(seed):
        with global_generator_kept():
            np.random.seed(seed)  # noqa: NPY002
            return np.concatenate([np.random.random(3) for _ in range(200)])  # noqa: NPY002

    for drawn, alone in zip(at_once(draws, range(THREADS)), map(draws, range(THREADS)), strict=True):
        np.testing.assert_array_equal(drawn, alone)
