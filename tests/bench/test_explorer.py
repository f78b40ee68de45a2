"""The explorer's clock: states change, and times are in order."""

from tiny import tiny_listed

from evor_eqx.bench.explorer import run_explorer
from evor_eqx.widgets.explorer import explorer


def test_states_are_timed(monkeypatch):
    monkeypatch.setattr(explorer, "catalogue", lambda: [tiny_listed()])
    rows = run_explorer(num_states=3)
    assert [row["what"] for row in rows] == ["opening", "a new state", "the track from it"]
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in rows)
