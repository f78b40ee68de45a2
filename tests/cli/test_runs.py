"""`evor runs`."""

from evor_eqx.runs.run import Run


def test_runs_lists_every_run_with_its_status(evor, home):
    Run.of("cube", "policy", {"seed": 0}).open().begin()
    Run.of("cube", "critic-mc", {"seed": 0}).open().finish()
    code, out, _ = evor("runs")
    assert code == 0
    lines = out.strip().splitlines()
    assert len(lines) == 2
    assert "complete" in lines[0] and "critic-mc" in lines[0]
    assert "running" in lines[1] and "policy" in lines[1]
    (Run.of("cube", "policy", {"seed": 0}).path / "metrics.jsonl").write_text("{\n")
    code, out, _ = evor("runs")
    assert code == 0 and out.splitlines()[0] == lines[0]
    assert "damaged" in out.splitlines()[1] and "metrics.jsonl" in out.splitlines()[1]
