"""The page on the benches names every one of them, and every private name that they use."""

import ast
import importlib
import json
import re
from pathlib import Path

import pytest

from tests.conftest import require

FOLDER = Path(__file__).parents[2] / "bench"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
FILES = sorted(FOLDER.glob("*.py"))


def private_names(path):
    """Return what a file imports of the package that no module of it lists as public."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("sparsegmrf.")]
            yield from (name for name in names if any(part.startswith("_") for part in name.split(".")))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sparsegmrf":
            public = getattr(importlib.import_module(node.module), "__all__", ())
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name not in public)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_private_names_of_a_bench_are_listed_and_no_others(path):
    if "sparsegmrf.torch" in path.read_text(encoding="utf-8"):
        require("torch")
    entries = [line for line in PAGE.splitlines() if line.startswith("- ") and f"`{path.name}`" in line]
    listed = [name for entry in entries for name in re.findall(r"`(sparsegmrf\.[\w.]+)`", entry)]
    assert sorted(listed) == sorted(private_names(path))


def test_every_bench_is_described():
    programs = {f"{name}.py" for name in re.findall(r"`python -m bench\.(\w+)", PAGE)}
    files = set(re.findall(r"`(\w+\.py)`", PAGE))
    assert programs | files == {path.name for path in FILES} - {"__init__.py"}


def test_baseline_says_machine_versions_and_threads():
    baseline = json.loads((FOLDER / "baseline.json").read_text(encoding="utf-8"))
    machine = baseline["machine_info"]
    assert machine["cpu"]["count"] > 0
    assert machine["threads"] > 0
    assert {"sparsegmrf", "numpy", "scipy", "numba"} <= machine["versions"].keys()
    assert "node" not in machine
    ours = [each for each in baseline["benchmarks"] if each["name"] == "sparsegmrf"]
    assert {Path(each["fullname"].partition("::")[0]).name for each in ours} == {"test_inference.py", "test_sample.py"}
    assert all(each["stats"]["min"] > 0.0 for each in ours)
