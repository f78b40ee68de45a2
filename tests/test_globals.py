"""No module changes for a moment what belongs to the whole process: another thread would see it, or put it back late.

Kernels handle the messages of widgets in several threads. Where a library leaves no other way, one lock guards it.
"""

import re
from pathlib import Path

import evor_eqx

PACKAGE = Path(evor_eqx.__file__).parent
FOR_A_MOMENT = {
    "warnings.catch_warnings": r"catch_warnings\(|warnings\.simplefilter",
    "tempfile.tempdir": r"tempfile\.tempdir\s*=",
    "matplotlib's settings": r"style\.context|rc_context|rcParams\[|rcParams\.update|matplotlib\.use\(|import .*pyplot",
    "the working folder": r"os\.chdir|contextlib\.chdir",
    "variables": r"os\.environ\[[^]]+\]\s*=|os\.environ\.(pop|update|setdefault)|os\.putenv",
    "streams": r"redirect_std|sys\.std\w+\s*=[^=]",
    "NumPy's generator": r"np\.random\.(seed|set_state|set_bit_generator)\(",
    "modules": r"sys\.modules\[[^]]+\]\s*=|sys\.path\.(insert|append)|sys\.path\[:\]\s*=",
}
ALLOWED = {
    ("matplotlib's settings", "widgets/drawing.py"): "under its lock",
    ("streams", "cli/parsing.py"): "under its lock: tyro prints what is wrong",
    ("NumPy's generator", "envs/generator.py"): "under its lock: OGBench draws from it",
    ("NumPy's generator", "envs/ogbench.py"): "under that lock",
    ("NumPy's generator", "envs/chunks.py"): "in a process of its own, or under that lock",
    ("modules", "system/processes.py"): "counted under a lock: multiprocessing reads it",
    ("modules", "system/own_files.py"): "under its lock, and for good",
    ("tempfile.tempdir", "system/processes.py"): "for good, in a process of its own",
    ("variables", "system/processes.py"): "for good, in a process of its own",
    ("variables", "system/arithmetic.py"): "for good, before JAX is loaded",
    ("variables", "envs/rendering.py"): "for good, under its lock",
    ("variables", "cli/main.py"): "for good, before a command begins",
    ("variables", "cli/explore.py"): "for good, before the server takes the place of this process",
    ("the working folder", "cli/main.py"): "for good, where it was removed",
}


def test_what_belongs_to_the_process_is_changed_only_where_that_is_safe():
    found = {
        (what, path.relative_to(PACKAGE).as_posix())
        for path in PACKAGE.rglob("*.py")
        for what, pattern in FOR_A_MOMENT.items()
        if re.search(pattern, path.read_text())
    }
    assert found == set(ALLOWED)
