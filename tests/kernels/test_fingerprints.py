"""A kernel file that builds on another file must change with it, or old cached code would be run."""

import hashlib
import importlib
from pathlib import Path

import pytest

import sparsegmrf.kernels

FOLDER = Path(sparsegmrf.kernels.__file__).parent
SHARED = ("blas", "dissection_columns", "lane_vector", "subroutine")
IMPORTERS = [path.stem for path in sorted(FOLDER.glob("*.py")) if "from sparsegmrf.kernels." in path.read_text()]


def fingerprint(name: str) -> str:
    return hashlib.sha256((FOLDER / f"{name}.py").read_bytes()).hexdigest()[:12]


@pytest.mark.parametrize("kernel", IMPORTERS)
def test_kernel_file_carries_the_fingerprints_of_what_it_builds_on(kernel: str) -> None:
    source = (FOLDER / f"{kernel}.py").read_text()
    used = {name for name in SHARED if f"from sparsegmrf.kernels.{name} import" in source}
    assert source.count("from sparsegmrf.kernels.") == len(used)
    module = importlib.import_module(f"sparsegmrf.kernels.{kernel}")
    assert {name: fingerprint(name) for name in used} == module.BUILT_ON


@pytest.mark.parametrize("name", SHARED)
def test_shared_file_holds_no_kernel(name: str) -> None:
    assert "njit" not in (FOLDER / f"{name}.py").read_text()
