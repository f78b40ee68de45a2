"""Inputs that nobody should give, thousands of them: each is refused in words, by UserError or by the command's parser.

What a property generates may happen to be good input; then it must be understood.
"""

import contextlib
import csv
import dataclasses
import io
import json
import math
import string

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evor_eqx.cli import main
from evor_eqx.config import CriticConfig, FieldConfig, InferenceConfig, NetworkConfig, PolicyConfig, TrainConfig
from evor_eqx.critics.flow import FlowConfig
from evor_eqx.data.loading import load_arrays
from evor_eqx.data.sources import Source
from evor_eqx.envs.dataset_names import DATASETS, dataset_name
from evor_eqx.envs.tasks import Task, parse_task
from evor_eqx.errors import UserError
from evor_eqx.presets import PRESETS, preset
from evor_eqx.reports.parameters import check_parameters, parse_parameters
from evor_eqx.runs.run import Run
from evor_eqx.suite import results
from evor_eqx.suite.workflow import Study, read_study
from evor_eqx.system.json_records import read_json, read_lines, sealed
from evor_eqx.system.paths import notebooks_dir

pytestmark = pytest.mark.fault
MANY = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
SOME = settings(MANY, max_examples=100)

words = st.text(max_size=30) | st.text(string.ascii_lowercase + "-_0123456789", min_size=1, max_size=30)
names = words | st.sampled_from([*DATASETS, *(f"{name[:-3]}-task{n}" for name in DATASETS for n in range(7))])
numbers = st.integers() | st.floats() | st.sampled_from([0, -1, 2**31, 2**63, math.inf, math.nan, 1e-300])
values = st.none() | st.booleans() | numbers | words | st.lists(words | numbers, max_size=3)


@st.composite
def mangled(draw, text: bytes):
    """Bytes with a few changes, a cut, or something else altogether."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=200))
    content = bytearray(text)
    for _ in range(draw(st.integers(1, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))])


# Names, settings and parameters.


@MANY
@given(words)
def test_dataset_names(name):
    with contextlib.suppress(UserError):
        assert dataset_name(name) in DATASETS


@MANY
@given(names, words | st.sampled_from(["pre", "post"]))
def test_task_names(name, timing):
    with contextlib.suppress(UserError):
        task = parse_task(name, timing)
        assert isinstance(task, Task) and task.dataset in DATASETS and 1 <= task.task_id <= 5


@MANY
@given(
    st.sampled_from([CriticConfig, FlowConfig, NetworkConfig, FieldConfig, PolicyConfig, InferenceConfig, TrainConfig]),
    st.data(),
)
def test_settings(kind, data):
    field = data.draw(st.sampled_from([each for each in dataclasses.fields(kind) if each.metadata]))
    allowed = field.metadata
    value = data.draw(words if "choices" in allowed else numbers.filter(lambda x: type(x) is type(field.default)))
    with contextlib.suppress(UserError):
        made = getattr(kind(**{field.name: value}), field.name)
        assert made in allowed["choices"] if "choices" in allowed else allowed["low"] <= made <= allowed["high"]


@MANY
@given(st.lists(words | st.builds("{}={}".format, words, values), max_size=3))
def test_parameters_of_notebooks(given_parameters):
    with contextlib.suppress(UserError):
        check_parameters(notebooks_dir() / "course" / "05_reward_to_go.ipynb", parse_parameters(given_parameters))


# Files.


@MANY
@given(st.data())
def test_records_and_lines(tmp_path, data):
    path = tmp_path / "file"
    good = json.dumps(sealed({"step": 1, "loss": 0.5})).encode() + b"\n"
    path.write_bytes(data.draw(mangled(good * 3)))
    with contextlib.suppress(UserError):
        assert isinstance(read_json(path), dict)
    with contextlib.suppress(UserError):
        assert all(isinstance(row, dict) for row in read_lines(path))


@MANY
@given(st.data())
def test_studies(tmp_path, data):
    fields = {field.name: values for field in dataclasses.fields(Study)}
    texts = st.fixed_dictionaries({}, optional=fields).map(lambda study: yaml.safe_dump(study).encode())
    path = tmp_path / "study.yaml"
    path.write_bytes(data.draw(texts | mangled(b"name: small\ntasks: [cube-single-play]\nseeds: [0, 1]\n")))
    with contextlib.suppress(UserError):
        assert isinstance(read_study(path), Study)


ROW = ",".join(results.COLUMNS) + "\n"


@MANY
@given(st.data())
def test_files_of_results(tmp_path, data):
    path, rows = tmp_path / "suite.csv", io.StringIO(ROW)
    cells = st.lists(words | numbers.map(str), min_size=len(results.COLUMNS), max_size=len(results.COLUMNS) + 1)
    rows.seek(0, io.SEEK_END)
    csv.writer(rows).writerows(data.draw(st.lists(cells, max_size=2)))
    path.write_bytes(data.draw(st.just(rows.getvalue().encode("utf-8", "replace")) | mangled(ROW.encode())))
    with contextlib.suppress(UserError):
        assert all(0 <= row.success <= 1 for row in results.read_results(path))


@SOME
@given(st.data())
def test_checkpoints(tmp_path, data):
    run = Run(tmp_path)
    run.save({"weights": np.arange(3.0)})
    good = (tmp_path / "checkpoint.eqx").read_bytes()
    (tmp_path / "checkpoint.eqx").write_bytes(data.draw(mangled(good)))
    with contextlib.suppress(UserError):
        np.testing.assert_array_equal(run.read({"weights": np.zeros(3)})["weights"], np.arange(3.0))  # type: ignore[index]


@SOME
@given(st.data())
def test_datasets(tmp_path, data):
    rows = {"observations": np.zeros((4, 2), np.float32), "actions": np.zeros((4, 2), np.float32)}
    rows |= {"terminals": np.array([0.0, 0, 0, 1]), "qpos": np.zeros((4, 2)), "qvel": np.zeros((4, 2))}
    path = tmp_path / "pointmaze-medium-navigate-v0.npz"
    np.savez(path, allow_pickle=False, **rows)
    path.write_bytes(data.draw(mangled(path.read_bytes())))
    details = {"files": {path.name: {"bytes": path.stat().st_size}}}
    source = Source("pointmaze-medium-navigate-v0", "ogbench", path, "00000000", details)
    with contextlib.suppress(UserError):
        assert len(load_arrays(source, None, "train")["observations"]) == 4


# The command.


COMMANDS = ("data", "train", "evaluate", "suite", "study", "figures", "course", "pack", "runs", "bench")
FLAGS = (
    "--preset",
    "--inference.tau-r",
    "--critic.n-step",
    "--critic",
    "--critic.kind",
    "--data.seed",
    "--tasks",
    "--minutes",
)


@MANY
@given(
    st.sampled_from(COMMANDS) | words,
    words.map(lambda name: f"no-{name}"),
    st.lists(st.tuples(st.sampled_from(FLAGS) | words, values.map(str)), max_size=2),
)
def test_the_command(home, capfd, command, name, flags):
    """The first name is of nothing, so the command cannot begin; it says so and leaves no file."""
    code = None
    try:
        code = main.main([command, name, *(part for flag in flags for part in flag)])
    except SystemExit as stop:
        code = stop.code
    said = capfd.readouterr()
    assert code == 2 or ((code == 0 and "--help" in said.out + str(flags) + command) or "-h" in command)
    assert "Traceback" not in said.err and (said.err or code == 0)
    assert not list(home.iterdir())


@SOME
@given(st.sampled_from(PRESETS) | words)
def test_presets(name):
    with contextlib.suppress(UserError):
        assert preset(name).preset == name and name in PRESETS
