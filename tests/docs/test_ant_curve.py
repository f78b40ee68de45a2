"""The ant's learning curve in the docs: drawn from the record that comes with the package, and up to date."""

import json
import runpy
from pathlib import Path

from evor_eqx.data.generation.ant_actor import ACTOR_FILE

ROOT = Path(__file__).parents[2]


def test_the_committed_curve_is_the_one_that_the_script_draws_from_the_shipped_record(home):
    picture = runpy.run_path(str(ROOT / "docs" / "ant_curve.py"))["draw"]()
    assert picture.is_relative_to(home) and picture.stat().st_size > 10_000
    drawn, committed = (
        json.loads((folder / "ant-curve.json").read_text()) for folder in (picture.parent, ROOT / "figures")
    )
    shipped = json.loads(ACTOR_FILE.with_suffix(".json").read_text())
    assert drawn["numbers"] == committed["numbers"]
    assert committed["numbers"]["speed"] == shipped["curve"]["speed"]
    assert committed["parameters"] == shipped["config"]
