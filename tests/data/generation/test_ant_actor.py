"""The shipped ant: whole, made by the command that stands beside it, and able to walk."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from evor_eqx.data.generation import ant_actor
from evor_eqx.errors import UserError
from evor_eqx.system.files import sha256
from evor_eqx.training.expert.directed_ant import walking_speed


def test_the_shipped_actor_is_the_one_that_its_record_describes():
    record = json.loads(ant_actor.ACTOR_FILE.with_suffix(".json").read_text())
    assert record["sha256"] == ant_actor.ACTOR_SHA256 == sha256(ant_actor.ACTOR_FILE)
    assert record["command"].startswith("evor expert ant --num-steps")
    assert record["curve"]["step"][-1] == record["config"]["num_steps"]
    assert sum(weight.size + bias.size for weight, bias in ant_actor.shipped_actor().layers) == 77_584


def test_the_shipped_actor_walks_along_its_direction():
    assert walking_speed(ant_actor.shipped_actor(), seed=3, num_directions=8) > 1.2  # m/s


def test_a_damaged_or_missing_actor_is_refused(monkeypatch, tmp_path):
    damaged = tmp_path / "ant_actor.npz"
    damaged.write_bytes(ant_actor.ACTOR_FILE.read_bytes()[:-1])
    for path, words in ((damaged, "damaged file"), (tmp_path / "absent.npz", "no file")):
        monkeypatch.setattr(ant_actor, "ACTOR_FILE", path)
        with pytest.raises(UserError, match=words):
            ant_actor.shipped_actor()


def test_a_processor_without_avx512_gives_the_same_bits():
    code = """
import hashlib, numpy as np
from evor_eqx.data.generation.ant_actor import shipped_actor
actor = shipped_actor()
rows = np.random.default_rng(0).normal(size=(200, 29))
print(hashlib.sha256(np.array([actor.mean_action(row) for row in rows]).tobytes()).hexdigest())
"""
    features = np._core._multiarray_umath.__cpu_features__
    disabled = " ".join(name for name, there in features.items() if there and name.startswith("AVX512"))
    plain = {**os.environ, "OPENBLAS_CORETYPE": "HASWELL"}  # as in the processes that collect
    variants = [plain, plain | {"NPY_DISABLE_CPU_FEATURES": disabled}]
    printed = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True, check=True
        ).stdout
        for env in variants
    }
    assert len(printed) == 1
