"""The house: rooms, floors and arrows, counted from the import graph, and what processes that compute nothing load.

A room is a package or a module at the top of `evor_eqx`; an arrow from A to B says that A imports something of B. A
room's floor is one above the highest room that it imports. `lint-imports` keeps the order of the layers.
"""

import subprocess
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path

import grimp
import pytest

import evor_eqx

PACKAGE = Path(evor_eqx.__file__).parent
MOST_FLOORS, MOST_ARROWS, MOST_LINES, MOST_FILES = 14, 150, 250, 12


def arrows():
    """For each room, the rooms that it imports."""
    graph = grimp.build_graph("evor_eqx", cache_dir=None)
    found = defaultdict(set)
    for module in graph.modules - {"evor_eqx"}:  # the package's face hands names on
        room = module.split(".")[1]
        found[room] |= {name.split(".")[1] for name in graph.find_modules_directly_imported_by(module)} - {room}
    return found


def test_the_house_has_few_floors_and_arrows_and_none_runs_in_a_circle():
    below = arrows()

    @cache
    def floor(room, above=()):
        assert room not in above, f"rooms import each other in a circle: {' -> '.join((*above, room))}"
        return 1 + max((floor(other, (*above, room)) for other in below[room]), default=0)

    num_floors = max(floor(room) for room in list(below))
    num_arrows = sum(map(len, below.values()))
    print(f"{len(below)} rooms on {num_floors} floors, {num_arrows} arrows")
    assert num_floors <= MOST_FLOORS
    assert num_arrows <= MOST_ARROWS


def test_modules_are_short_and_the_top_of_the_package_is_easy_to_survey():
    lengths = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {str(path): length for path, length in lengths.items() if length > MOST_LINES} == {}
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= MOST_FILES


@pytest.mark.parametrize("package", ["data.generation", "envs", "system", "cli"])
def test_help_and_processes_that_only_simulate_do_not_load_jax(package):
    modules = [path.stem for path in (PACKAGE / package.replace(".", "/")).glob("*.py") if path.stem != "__init__"]
    assert modules
    code = f"""
import importlib, sys
for name in {modules}:
    importlib.import_module(f"evor_eqx.{package}.{{name}}")
    if "jax" in sys.modules:
        sys.exit(f"{package}.{{name}} loads JAX")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
