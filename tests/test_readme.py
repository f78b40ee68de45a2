"""The README: short, its Python runs as it stands, and its numbers are those of the committed results."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from evor_eqx.suite import tables
from evor_eqx.suite.results import read_results

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COLUMNS = {"base policy": "base", "EVOR": "evor", "EVOR, best of four draws": "evor_best4"}
COLUMNS |= {"Q-chunking (QC-5)": "qc5", "IFQL": "ifql"}


def test_it_is_read_to_its_end():
    assert len(README.encode()) <= 8_000 and len((ROOT / "CONTRIBUTING.md").read_bytes()) <= 4_000


@pytest.mark.slow
def test_the_first_python_runs_as_it_stands(home):
    script = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    assert script.count("\n") <= 10
    result = subprocess.run([sys.executable, "-c", script], cwd=home, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "success" in result.stdout and "return" in result.stdout


def test_the_table_is_that_of_the_committed_results():
    rows = [
        row
        for row in read_results(ROOT / "figures" / "results" / "suite-laptop.csv")
        if row.case.seed == 0 and row.case.method in (*COLUMNS.values(), "qc1")
    ]
    found = {
        "mean of 25 tasks": tables.summary(tables.common(rows)),
        "interquartile mean": tables.summary(tables.common(rows), tables.iqm),
    }
    header, *lines = [line for line in README.splitlines() if line.startswith("|") and "---" not in line][:3]
    names = [name.strip() for name in header.strip("|").split("|")][1:]
    for line in lines:
        label, *cells = [cell.strip().replace("*", "") for cell in line.strip("|").split("|")]
        for name, cell in zip(names, cells, strict=True):
            estimate, low, high = (100 * value for value in found[label][COLUMNS[name]][tables.ALL])
            assert cell == f"{estimate:.1f} ({low:.1f} to {high:.1f})", (label, name)
