"""Versions live in pyproject.toml (ranges) and requirements.lock (exact); everything else must agree with them."""

import ast
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import jax.numpy as jnp
import jaxtyping
import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from evor_eqx.distributions import ReturnDistribution
from evor_eqx.system import paths

ROOT = paths.checkout()
assert ROOT is not None, "the tests belong to a checkout"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines()]


def locked(**environment: str) -> dict[str, str]:
    """Exact versions by name, where `environment` overrides the markers of this interpreter."""
    markers = {**default_environment(), **environment}
    chosen = [line for line in LOCK if line.marker is None or line.marker.evaluate(markers)]
    versions = {canonicalize_name(line.name): str(line.specifier).removeprefix("==") for line in chosen}
    assert len(versions) == len(chosen), "two versions of one package for the same environment"
    return versions


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_dependency_is_locked_within_its_range(python, platform):
    versions = locked(python_version=python, python_full_version=f"{python}.9", sys_platform=platform)
    locked_extras = ("docs", "minari", "notebooks", "parquet", "test", "workflow")
    extras = (PROJECT["optional-dependencies"][name] for name in locked_extras)
    needed = map(Requirement, [*PROJECT["dependencies"], *itertools.chain(*extras)])
    for dependency in (each for each in needed if each.name != PROJECT["name"]):
        assert dependency.specifier.contains(versions[canonicalize_name(dependency.name)]), dependency


def test_the_lock_holds_exact_versions_and_nothing_else():
    assert all(re.fullmatch(r"==[\w.+!-]+", str(line.specifier)) for line in LOCK)
    assert not any(line.url for line in LOCK)


def test_this_environment_is_the_locked_one():
    installed = {name: version(name) for name in locked()}
    assert installed == locked(), "the environment differs from requirements.lock: run `make test` to make it anew"


def test_conda_takes_python_from_the_range_and_all_else_from_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"][0] == "conda-forge"
    python, pip, rest = environment["dependencies"]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python.removeprefix("python=") + ".0")
    assert pip == "pip"
    assert rest == {"pip": ["-r requirements.lock", "-e ."]}


def test_a_wrong_shape_is_caught_in_tests():
    with pytest.raises(jaxtyping.TypeCheckError):
        ReturnDistribution(atoms=jnp.zeros(3), weights=jnp.zeros(4))


@pytest.mark.skipif(not shutil.which("git") or not (ROOT / ".git").exists(), reason="not a git checkout")
def test_git_ignores_what_is_made_and_nothing_that_is_written():
    names = [
        "data/x.npz",
        "runs/a/b",
        "course/index.html",
        ".venv/bin/python",
        "evor_eqx/data/dataset.py",
        "figures/distribution.png",
        "notebooks/a.ipynb",
    ]
    result = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.split() == names[:4]


# Rooms that need extras, and which; all others need the core alone.
EXTRAS = {
    "widgets": ["notebooks"],
    "plotting": ["notebooks"],
    "reports": ["notebooks", "docs"],
    "bench": ["notebooks"],
    "suite": ["workflow"],
    "data": ["minari", "parquet"],
}


def test_what_a_room_imports_is_declared_for_it():
    """Names of modules are those of their distributions, as the installed metadata say it."""
    distributions = packages_distributions()
    for path in (ROOT / "evor_eqx").rglob("*.py"):
        room = path.relative_to(ROOT / "evor_eqx").with_suffix("").parts[0]
        declared = list(PROJECT["dependencies"])
        for extra in EXTRAS.get(room, ()):
            declared += PROJECT["optional-dependencies"][extra]
        names = {canonicalize_name(Requirement(each).name) for each in declared}
        for module in imported(path) - sys.stdlib_module_names - {"evor_eqx"}:
            providers = {canonicalize_name(name) for name in distributions[module]}
            assert providers & names, f"{path} imports {module}, of {providers}, which is not declared"


def imported(path: Path) -> set[str]:
    """The top-level modules that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module))
    return {name.partition(".")[0] for name in found}


@pytest.mark.slow
def test_an_installed_package_brings_its_style_and_notebooks(tmp_path):
    install = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path)]
    subprocess.run([sys.executable, "-m", *install, str(ROOT)], check=True)
    package = tmp_path / "evor_eqx"
    names = {path.relative_to(ROOT) for path in (ROOT / "notebooks").rglob("*.ipynb")}
    assert {path.relative_to(package) for path in (package / "notebooks").rglob("*.ipynb")} == names
    assert (package / paths.style_file().name).is_file()
    assert (tmp_path / "bin" / "evor").is_file()
