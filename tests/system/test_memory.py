"""Freed memory is given back, asked of a new process: the operating system's own count of resident pages."""

import subprocess
import sys

import pytest

SCRIPT = """
from pathlib import Path
from evor_eqx.system import memory

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

class Cycle:
    def __init__(self):
        self.me, self.blocks = self, [bytes(100_000) for _ in range(3000)]  # 300 MB in blocks that glibc keeps

before = megabytes()
cycle, pin = Cycle(), bytes(100_000)  # the pin lies above what is freed
del cycle
{then}
print(megabytes() - before)
"""


def grown(then):
    """By how many megabytes a process has grown after it dropped a cycle of 300."""
    run = subprocess.run([sys.executable, "-c", SCRIPT.format(then=then)], capture_output=True, text=True, check=True)
    return float(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="resident pages are read from /proc")
def test_dropped_memory_is_given_back():
    assert grown("") > 150  # the test's own premise
    assert grown("memory.give_back()") < 100
