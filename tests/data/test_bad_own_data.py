"""Bad arrays, environments and tasks of the user's own: each is refused in words, before anything is trained.

A message has to name what is wrong, what was got, what was expected and what to do.
"""

import threading
from functools import partial

import gymnasium
import jaxtyping
import numpy as np
import pytest
from gymnasium import spaces

from evor_eqx.data.custom import custom_task
from evor_eqx.data.dataset import OfflineDataset
from evor_eqx.errors import UserError
from evor_eqx.system import paths

STEPS = 3  # per episode; there are two
NUM_ROWS = 2 * STEPS
ENDS = np.tile([0.0] * (STEPS - 1) + [1.0], 2)
NONE = np.zeros(NUM_ROWS)
ONE_END, LAST = ENDS * (np.arange(NUM_ROWS) < STEPS), ENDS * (np.arange(NUM_ROWS) >= STEPS)
APART = np.arange(2.0 * NUM_ROWS).reshape(NUM_ROWS, 2) + np.repeat([0.0, 50.0], STEPS)[:, None]


@pytest.fixture(autouse=True)
def as_for_a_user(tmp_path, monkeypatch):
    """An empty home folder, and annotations that are not checked, as outside of the tests."""
    monkeypatch.setenv("EVOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def refused(words, function, *arguments, **options):
    """The one UserError that a call raises holds all words, what was expected and what to do; there is no run."""
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    said = str(caught.value)
    assert type(caught.value) is UserError and "Traceback" not in said
    missing = [word for word in (*words, "expected") if word not in said]
    assert not missing, f"{missing} missing in: {said}"
    assert "; " in said or "such as" in said, f"no word on what to do: {said}"
    assert not paths.runs_dir().exists()


def case(name, thing, *words):
    """One case of a parametrized test: its name, what is given, and the words that the message must hold."""
    return pytest.param(thing, words, id=name)


def rows(obs_size=2, **changes):
    """Two episodes of three steps in D4RL's layout, with changes. An array that is None is left out."""
    obs = np.arange(NUM_ROWS * obs_size, dtype=float).reshape(NUM_ROWS, obs_size)
    arrays = {"observations": obs, "actions": np.full((NUM_ROWS, 2), 0.5), "rewards": np.ones(NUM_ROWS)}
    arrays |= {"terminals": NONE, "timeouts": ENDS, **changes}
    return {name: array for name, array in arrays.items() if array is not None}


def put(name, place, value, **changes):
    """Rows with another value at one place of an array."""
    arrays = rows(**changes)
    arrays[name] = arrays[name].copy()
    arrays[name][place] = value
    return arrays


def following(**changes):
    """Rows with the state after each step."""
    arrays = rows(**changes)
    return arrays | {"next_observations": arrays["observations"] + 2.0}


def dataset(**changes):
    return OfflineDataset.from_arrays(**rows(**changes))


# Arrays.

ARRAYS = [
    case("nothing", {}, "observations", "no such array"),
    case("no observations", rows(observations=None), "observations", "no such array", "add it"),
    case("no actions", rows(actions=None), "actions", "no such array"),
    case("no rewards", rows(rewards=None), "rewards", "no such array"),
    case("another library's name", rows(observations=None, obs=NONE), "'obs'", "did you mean observations?"),
    case("a misspelled name", rows(actions=None, action=NONE), "'action'", "did you mean actions?"),
    case("dones", rows(terminals=None, dones=NONE), "'dones'", "terminals (the task ended)", "timeouts"),
    case("an unknown name", rows(goals=NONE), "'goals'", "unknown name", "leave it out"),
    case("images", rows(observations=np.zeros((6, 4, 4, 3))), "observations", "(6, 4, 4, 3)", "images"),
    case("1-D observations", rows(observations=NONE), "observations", "(6,)", "[rows, observation size]"),
    case("1-D actions", rows(actions=NONE), "actions", "(6,)", "[rows, action size]"),
    case("2-D rewards", rows(rewards=np.ones((6, 1))), "rewards", "(6, 1)", "[rows]", "one number"),
    case("2-D flags", rows(timeouts=ENDS[:, None]), "timeouts", "(6, 1)", "[rows]", "one number"),
    case("a number", rows(rewards=1.0), "rewards", "shape ()", "[rows]"),
    case("observations of no coordinate", rows(observations=np.zeros((6, 0))), "observations", "(6, 0)"),
    case("actions of no coordinate", rows(actions=np.zeros((6, 0))), "actions", "(6, 0)"),
    case("objects", rows(observations=np.full((6, 2), None)), "observations", "object", "numbers"),
    case("None in a list", rows(rewards=[1.0, None, 1, 1, 1, 1]), "rewards", "object", "numbers"),
    case("strings", rows(actions=np.full((6, 2), "0.5")), "actions", "<U3", "numbers"),
    case("complex numbers", rows(rewards=np.ones(6, complex)), "rewards", "complex128", "numbers"),
    case("a dictionary", rows(observations={"position": NONE}), "observations", "object", "numbers"),
    case("rows of different lengths", rows(observations=[[0.0, 1.0], [2.0]]), "observations", "different lengths"),
    case("NaN", put("observations", (4, 1), np.nan), "observations", "nan", "row 4", "coordinate 1"),
    case("NaN in a reward", put("rewards", 5, np.nan), "rewards", "nan", "row 5"),
    case("infinity", put("actions", (2, 0), -np.inf), "actions", "-inf", "row 2", "coordinate 0"),
    case("too large", put("observations", (3, 0), 1e39), "observations", "1e+39", "row 3", "single precision"),
    case("NaN in a flag", put("terminals", 1, np.nan), "terminals", "nan", "row 1"),
    case("NaN in a next state", put("next_observations", (0, 0), np.nan, **following()), "next_observations", "row 0"),
    case("different lengths", rows(rewards=np.ones(5)), "observations 6", "rewards 5", "same for all"),
    case("no rows", {name: array[:0] for name, array in rows().items()}, "observations", "no rows"),
    case("empty lists", {name: [] for name in rows()}, "observations", "(0,)"),
    case("a flag of 2", put("terminals", 2, 2.0), "terminals", "2.0", "row 2", "0 or 1"),
    case("a flag of -1", put("timeouts", 5, -1.0), "timeouts", "-1.0", "row 5", "0 or 1"),
    case("half a flag", rows(timeouts=None, masks=NONE + 0.5), "masks", "0.5", "row 0", "0 or 1"),
    case("terminals alone", rows(timeouts=None), "terminals alone", "timeouts or masks", "give timeouts"),
    case("two layouts", rows(masks=1 - NONE), "terminals, timeouts, masks", "leave one of them out"),
    case("three layouts", rows(valids=1 - ENDS), "terminals, timeouts, valids", "leave one of them out"),
    case("no flags", rows(terminals=None, timeouts=None), "ends of episodes", "got nothing", "add them"),
    case("masks alone", rows(terminals=None, timeouts=None, masks=NONE), "ends of episodes", "got masks", "add them"),
    case("no end at all", rows(timeouts=NONE), "begins in row 0", "row, 5", "set timeouts to 1"),
    case("no last end", put("timeouts", 5, 0.0), "begins in row 3", "row, 5", "set timeouts to 1"),
    case("no last end, masks", rows(timeouts=None, terminals=ONE_END, masks=1 - NONE), "row 3", "set terminals to 1"),
    case("no last end, valids", rows(terminals=None, timeouts=None, valids=1 - NONE), "valids 1", "row, 5"),
    case("steps that lead nowhere", rows(timeouts=NONE + 1), "no episode with a step", "give next_observations"),
    case("next states of another size", rows(next_observations=np.zeros((6, 3))), "next_observations", "(6, 3)"),
    case("next states of fewer rows", rows(next_observations=np.zeros((5, 2))), "next_observations 5"),
    case("out of order", put("observations", 1, 9.0, **following()), "next_observations", "row 0", "sort them"),
    case("an end that is not marked", following(timeouts=NONE, terminals=LAST, observations=APART), "row 2", "row 3"),
]


@pytest.mark.parametrize(("arrays", "words"), ARRAYS)
def test_arrays(arrays, words):
    refused(words, OfflineDataset.from_arrays, **arrays)


# Tasks.


def task(name="mine", train=None, validation=None, **options):
    return custom_task(name, train or dataset(), validation or dataset(), **options)


def box(*shape):
    return spaces.Box(-1.0, 1.0, shape)


class Walk(gymnasium.Env):
    """An environment that fits the rows; its spaces and its first observation may be others."""

    def __init__(self, obs=None, act=None, first=(0.0, 0.0)):
        self.observation_space, self.action_space, self.first = obs or box(2), act or box(2), first

    def step(self, action):
        return np.array(self.first), 0.0, False, False, {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self.first is None:
            raise OSError("no simulator")
        return np.array(self.first), {}


class WithoutSpaces(gymnasium.Env):
    pass


class ResetsWithoutSeed(Walk):
    def reset(self):
        return np.zeros(2), {}


class ResetsToAnArray(Walk):
    def reset(self, *, seed=None, options=None):
        return np.zeros(2)


def raises():
    raise RuntimeError("no display")


def holding(lock):
    return lambda: lock and Walk()


def one_and_the_same():
    env = Walk()
    return lambda: gymnasium.wrappers.TimeLimit(env, 9)


def wants_a_level(level):
    return Walk()


ENVS = [
    case("an environment", Walk(), "make_env of mine", "Walk", "function that makes", "give lambda"),
    case("a name", "Pendulum-v1", "make_env of mine", "'Pendulum-v1'", "function that makes"),
    case("raises", raises, "make_env of mine", "RuntimeError (no display)", "mend it"),
    case("an unknown name", partial(gymnasium.make, "Nowhere-v0"), "make_env of mine", "Nowhere"),
    case("wants an argument", wants_a_level, "make_env of mine", "TypeError", "level"),
    case("returns None", lambda: None, "make_env of mine", "NoneType", "gymnasium.Env", "return one"),
    case("returns a class", lambda: Walk, "make_env of mine", "gymnasium.Env", "return one"),
    case("has no spaces", WithoutSpaces, "environment of mine", "observation_space", "mend it"),
    case("Discrete actions", partial(Walk, act=spaces.Discrete(4)), "action space", "Discrete(4)", "continuous"),
    case("MultiDiscrete actions", partial(Walk, act=spaces.MultiDiscrete([2, 3])), "action space", "MultiDiscrete"),
    case("MultiBinary actions", partial(Walk, act=spaces.MultiBinary(3)), "action space", "MultiBinary(3)"),
    case("Dict of actions", partial(Walk, act=spaces.Dict(a=box(2))), "action space", "Dict", "join its entries"),
    case("matrix of actions", partial(Walk, act=box(2, 2)), "action space", "(2, 2)", "flat Box"),
    case("Dict of observations", partial(Walk, obs=spaces.Dict(a=box(2))), "observation space", "Dict", "FlattenObs"),
    case("Tuple of observations", partial(Walk, obs=spaces.Tuple([box(2)])), "observation space", "Tuple", "join"),
    case("images", partial(Walk, obs=spaces.Box(0, 255, (8, 8, 3), np.uint8)), "observation space", "images"),
    case("longer observations", partial(Walk, obs=box(5)), "observations", "size 2", "5 in the environment of mine"),
    case("shorter actions", partial(Walk, act=box(1)), "actions", "size 2", "1 in the environment of mine"),
    case("raises at reset", partial(Walk, first=None), "reset", "of mine", "OSError (no simulator)", "mend it"),
    case("NaN at reset", partial(Walk, first=(np.nan, 0.0)), "reset", "of mine", "nan", "2 finite numbers"),
    case("another shape at reset", partial(Walk, first=(0.0,) * 3), "reset", "of mine", "(3,)", "2 finite numbers"),
    case("strings at reset", partial(Walk, first=("0", "left")), "reset", "of mine", "left", "2 finite numbers"),
    case("resets without seed", ResetsWithoutSeed, "reset", "of mine", "TypeError", "seed"),
    case("resets to an array", ResetsToAnArray, "reset", "of mine", "got", "mend"),
    case("holds a lock", holding(threading.Lock()), "make_env of mine", "worker processes", "lock", "inside of it"),
    case("the same one at each call", one_and_the_same(), "make_env of mine", "same environment twice", "inside"),
    case("has no source", eval("lambda: Walk()"), "make_env of mine", "no source code", "version='1'"),
]


@pytest.mark.parametrize(("make_env", "words"), ENVS)
def test_environments(make_env, words):
    refused(words, task, make_env=make_env)


NAMES = ["", " ", "my task", "a/b", "../up", ".hidden", "a:b", "tâche", "line\n", "x" * 65, None, 3, b"mine"]
OGBENCH = ["cube-single-play", "pointmaze-medium-navigate-task1", "cube-single-play-singletask-task2-v0"]
OGBENCH += ["antmaze-large-navigate-v0", "scene-play-sparse-task2", "scene-play-sparse"]
WIDER, INF = dataset(obs_size=3), np.inf
EARLY, LATE = (OfflineDataset.from_arrays(**put("actions", place, 1.5)) for place in ((1, 0), (4, 1)))
ADDED = OfflineDataset.from_arrays(**put("actions", (4, 1), 1.5, **following()))  # with rows for the last states

TASKS = [
    *(case(f"name {name!r}", {"name": name}, "name of the task", repr(name), "letters") for name in NAMES),
    *(case(f"OGBench's {name}", {"name": name}, "name of the task", repr(name), "OGBench") for name in OGBENCH),
    *(case(f"gamma {g!r}", {"gamma": g}, "gamma", repr(g), "0 and 1") for g in (0, 1, 1.0, -1, 99, INF, np.nan)),
    *(case(f"gamma {g!r}", {"gamma": g}, "gamma", repr(g), "0 and 1") for g in ("0.9", True, None, [0.9])),
    case("arrays", {"train": rows()}, "train", "dict", "OfflineDataset", "from_arrays"),
    case("a file", {"validation": "mine.npz"}, "validation", "str", "OfflineDataset", "from_file"),
    case("other observations", {"validation": WIDER}, "observations", "2 in train", "3 in validation"),
    case("other actions", {"train": dataset(actions=np.zeros((6, 3)))}, "actions", "3 in train", "2 in validation"),
    case("three bounds", {"bounds": (-np.ones(3), np.ones(3))}, "bounds", "size 2", "(low, high)"),
    case("one bound", {"bounds": (1.0,)}, "bounds", "(1.0,)", "(low, high)"),
    case("a number as bounds", {"bounds": 2.0}, "bounds", "2.0", "(low, high)"),
    case("words as bounds", {"bounds": ("low", "high")}, "bounds", "('low', 'high')", "(low, high)"),
    case("reversed bounds", {"bounds": (1, -1)}, "bounds", "(1, -1)", "low < high"),
    case("no width", {"bounds": ([-1, 0], [1, 0])}, "bounds", "low < high"),
    case("NaN as bound", {"bounds": (np.nan, 1)}, "bounds", "nan", "low < high"),
    case("pairs of each coordinate", {"bounds": ((-1, 1), (-1, 1))}, "bounds", "low < high"),
    case("outside", {"train": EARLY, "bounds": (-1, 1)}, "actions of train", "1.5", "row 1,", "coordinate 0", "clip"),
    case("outside, later", {"validation": LATE, "bounds": (-1, 1)}, "actions of validation", "1.5", "row 4,"),
    case("outside, after an added row", {"train": ADDED, "make_env": Walk}, "actions of train", "1.5", "row 4,"),
    case("one coordinate's bounds", {"bounds": ([-1, 0.6], [1, 1])}, "actions of train", "row 0,", "0.6 to 1"),
    case("reversed returns", {"reference_returns": (10, -10)}, "reference_returns", "(10, -10)", "lower"),
    case("equal returns", {"reference_returns": (1, 1)}, "reference_returns", "(1, 1)", "lower"),
    case("one return", {"reference_returns": (1,)}, "reference_returns", "(1,)", "lower"),
    case("a number as returns", {"reference_returns": 100}, "reference_returns", "100", "lower"),
    case("words as returns", {"reference_returns": ("1", "2")}, "reference_returns", "('1', '2')", "lower"),
    case("infinite returns", {"reference_returns": (0, INF)}, "reference_returns", "inf", "lower"),
    case("a version of a name", {"make_env": "Pendulum-v1", "version": "1"}, "make_env of mine", "'Pendulum-v1'"),
]


@pytest.mark.parametrize(("options", "words"), TASKS)
def test_tasks(options, words):
    refused(words, task, **options)


def test_a_task_without_an_environment_makes_none():
    refused(["task mine has no environment", "`make_env`"], task().make_env)
