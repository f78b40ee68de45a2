import math
import shutil
import subprocess

import numpy as np
import pytest

from evor_eqx.runs.provenance import commit, plain
from evor_eqx.system import paths


@pytest.mark.skipif(not shutil.which("git"), reason="no git")
def test_the_commit_is_marked_dirty_by_a_changed_source_but_not_by_a_drawn_figure(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        command = ["git", "-C", tmp_path, *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)
    assert commit() is None  # no repository
    git("init", "--quiet")
    assert commit() is None  # no commit
    source, figure = tmp_path / "evor_eqx" / "flow.py", tmp_path / "figures" / "distribution.png"
    for path in (source, figure):
        path.parent.mkdir()
        path.write_text("1")
    git("add", "--all")
    git("commit", "--quiet", "--message", "first")
    figure.write_text("2")
    assert commit() == git("rev-parse", "HEAD")
    source.write_text("2")
    assert commit() == git("rev-parse", "HEAD") + "-dirty"


def test_an_installed_package_has_no_commit(monkeypatch):
    monkeypatch.setattr(paths, "checkout", lambda: None)
    assert commit() is None


def test_plain_values_are_json_with_six_digits_and_no_nan():
    value = {1: np.float32([0.1, math.nan]), "n": np.int64(3), "pair": (True, {"x": 1 / 3}), "inf": -math.inf}
    assert plain(value) == {"1": [0.1, None], "n": 3, "pair": [True, {"x": 0.333333}], "inf": None}
