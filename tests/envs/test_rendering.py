"""Which OpenGL backend is used: probed apart, respected if chosen, and a sentence where there is none."""

import functools
import os
import subprocess
import sys

import pytest

from evor_eqx.envs import rendering

RENDER = """
import {first}
from evor_eqx.envs import rendering
problem = rendering.prepare()
from evor_eqx.envs.tasks import parse_task
env = parse_task("pointmaze-medium-navigate").make_env(width=64, height=64)
env.reset(seed=0)
if problem:
    print(problem)
else:
    frame = env.unwrapped.render()
    print(frame.shape, frame.dtype, len(set(frame.reshape(-1, 3).sum(1).tolist())) > 10)
"""


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    """No earlier answer counts, and none is left behind."""
    monkeypatch.setattr(rendering, "_works", functools.cache(rendering._works.__wrapped__))
    monkeypatch.setattr(rendering, "_use", functools.cache(lambda name: os.environ.update(MUJOCO_GL=name)))
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    yield
    monkeypatch.undo()


def probed(monkeypatch, working):
    """Backends that `working` names work; returns the list of those that are tried."""
    tried = []

    def run(command, env, **_):
        tried.append(env["MUJOCO_GL"])
        return subprocess.CompletedProcess(command, 0 if env["MUJOCO_GL"] in working else 1)

    monkeypatch.setattr(rendering.subprocess, "run", run)
    monkeypatch.setattr(rendering.platform, "system", lambda: "Linux")
    return tried


def test_the_first_backend_that_works_is_set_and_remembered(monkeypatch):
    tried = probed(monkeypatch, {"osmesa"})
    assert rendering.prepare() == "" and os.environ["MUJOCO_GL"] == "osmesa"
    assert rendering.prepare() == "" and tried == ["egl", "osmesa"]
    monkeypatch.delenv("MUJOCO_GL")


def test_a_chosen_backend_is_the_only_one_tried(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    tried = probed(monkeypatch, {"egl"})
    problem = rendering.prepare()
    assert tried == ["osmesa"] and os.environ["MUJOCO_GL"] == "osmesa"
    assert "MUJOCO_GL is 'osmesa'" in problem and "unset MUJOCO_GL" in problem


def test_without_a_backend_the_sentence_says_what_to_install(monkeypatch):
    probed(monkeypatch, set())
    problem = rendering.prepare()
    assert "egl, osmesa" in problem and "apt-get install libegl1" in problem and "MUJOCO_GL" not in os.environ


def test_a_probe_that_hangs_counts_as_broken(monkeypatch):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("probe", 60)

    monkeypatch.setattr(rendering.subprocess, "run", hang)
    assert "apt-get install" in rendering.prepare()


def run_python(code, **variables):
    env = {name: value for name, value in os.environ.items() if name != "MUJOCO_GL"} | variables
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_backend_that_cannot_load_costs_the_pictures_and_nothing_else():
    """For real: PyOpenGL is told to use another platform, so MuJoCo's EGL refuses to load."""
    said = run_python(RENDER.format(first="jax"), MUJOCO_GL="egl", PYOPENGL_PLATFORM="osmesa")
    assert said.startswith("No pictures of the physics: MUJOCO_GL is 'egl'")


@pytest.mark.parametrize("first", ["jax", "mujoco"])
def test_frames_are_drawn_or_the_sentence_is_said_whether_or_not_mujoco_came_first(first):
    said = run_python(RENDER.format(first=first))
    assert said in ("(64, 64, 3) uint8 True",) or said.startswith("No pictures of the physics: none of egl, osmesa")
