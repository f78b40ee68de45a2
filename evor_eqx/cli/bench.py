"""`evor bench`: what this machine does in a second."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evor_eqx.system.checked import Checked, within
from evor_eqx.system.files import check_writable

if TYPE_CHECKING:
    from evor_eqx.bench.timing import Row


@dataclass(frozen=True)
class Bench(Checked):
    """Time updates, decisions, data and evaluation beside this machine's own matrix product and bare simulation."""

    json: Path | None = None
    """Also write everything to this file."""
    width: int = within(1, 8192, 512)
    """Units of each hidden layer; 64 to 1024."""
    depth: int = within(1, 32, 4)
    """Hidden layers; 1 to 6."""
    batch_size: int = within(1, 10**6, 256)
    """Windows per update; 64 to 1024."""
    methods: tuple[str, ...] = ()
    """Methods of the suite whose updates are timed, or your own critics and flow targets (mine.py:laplace); five if not
    given."""
    num_rounds: int = within(1, 1000, 5)
    """Rounds of all updates, 1 to 10; decisions take eight times as many."""
    physics: bool = True
    """Also time data generation and evaluation, three minutes."""

    def check(self) -> None:
        """Raise UserError for an unknown method, and for a file that cannot be written."""
        from evor_eqx.suite.methods import find_method, method_name

        for method in self.methods:
            find_method(method_name(method))
        if self.json:
            check_writable(self.json, "json")

    def run(self) -> int:
        """Print a table for each part; write all of them to the file if one is given."""
        from evor_eqx.bench import decisions, explorer, simulation, timing, updates
        from evor_eqx.runs.run import environment
        from evor_eqx.system.json_records import write_json

        rows = updates.run_training(self.width, self.depth, self.batch_size, self.num_rounds)
        rows += updates.run_methods(self.methods or updates.METHODS, self.num_rounds)
        _print_updates(rows)
        results: dict[str, Any] = {"updates": [vars(row) for row in rows]}
        results["decisions"] = decisions.run_decisions(self.width, self.depth, num_rounds=8 * self.num_rounds)
        _print_decisions(results["decisions"])
        results["peak_memory_mb"] = timing.peak_memory()
        print(f"\npeak memory {results['peak_memory_mb']:.0f} MB")
        results["explorer"] = explorer.run_explorer()
        _print_explorer(results["explorer"])
        results["physics"] = simulation.run_physics() if self.physics else []
        if self.physics:
            _print_physics(results["physics"])
        if self.json:
            settings = {name: value for name, value in vars(self).items() if name != "json"}
            write_json(self.json, {**results, "settings": settings, **environment()})
        return 0


def _print_updates(rows: Iterable["Row"]) -> None:
    print(f"{'':36s}{'updates/s':>10s}{'ms':>9s}{'GFLOP':>8s}{'of peak':>9s}{'first call':>12s}")
    for row in rows:
        print(
            f"{row.name:36s}{row.per_second:10.1f}{row.milliseconds:9.2f}{row.gflop:8.2f}"
            f"{row.share_of_peak:9.0%}{row.first_call:10.1f} s"
        )


def _print_decisions(rows: Iterable[Mapping[str, Any]]) -> None:
    print(f"\n{'one decision, N = 16, 10 + 10 steps':36s}{'N_pi':>10s}{'p50 ms':>9s}{'p99 ms':>8s}")
    for row in rows:
        print("{network:36s}{num_candidates:10d}{p50_ms:9.2f}{p99_ms:8.2f}".format(**row))


def _print_explorer(rows: Iterable[Mapping[str, Any]]) -> None:
    print(f"\n{'the explorer, in the kernel':46s}{'p50 ms':>9s}{'p95 ms':>8s}")
    for row in rows:
        print("{what:46s}{p50_ms:9.1f}{p95_ms:8.1f}".format(**row))


def _print_physics(rows: Iterable[Mapping[str, Any]]) -> None:
    print(f"\n{'steps/s on all cores':36s}{'bare':>10s}{'generation':>12s}{'':>6s}{'evaluation':>12s}")
    for row in rows:
        print(
            "{dataset:36s}{bare:10.0f}{generation:12.0f}{generation_share:6.2f}{evaluation:12.0f}"
            "{evaluation_share:6.2f}".format(**row)
        )
