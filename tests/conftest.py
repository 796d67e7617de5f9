"""Settings that hold for all tests: reproducible property tests without deadlines (compilation takes seconds)."""

import ast
import importlib
import os
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # idle threads of several BLAS would take the cores; before NumPy is imported
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Which test compiles a kernel first, and tells of it, is a matter of chance.
os.environ.setdefault("SPARSEGMRF_QUIET", "1")

import pytest
from hypothesis import HealthCheck, settings

import sparsegmrf

settings.register_profile(
    "fixed", deadline=None, max_examples=30, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("search", parent=settings.get_profile("fixed"), derandomize=False, max_examples=300)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture
def threads():
    """Set the number of threads for one test."""
    before = sparsegmrf.get_num_threads()
    yield sparsegmrf.set_num_threads
    sparsegmrf.set_num_threads(before)


def photograph(name):
    """Return a photograph of scikit-image by its name there, uint8; the tests that need it are skipped without."""
    return getattr(require("skimage.data"), name)()


OPTIONAL = {"rasterio", "skimage.data", "torch", "xarray"}
"""Libraries of the extras and of the tests that programs in the documentation import."""
READ_BY = {".tif": ("rasterio",), ".nc": ("xarray", "netCDF4")}
"""Libraries by the suffix of the files that they read and write."""


def require(module, *, of_tests=True):
    """Import an optional library; the tests that need it are skipped where it is missing.

    They fail instead if the environment variable ``SPARSEGMRF_REQUIRE`` names its package (names part by commas), or
    says "all" and ``make test`` installs it (`of_tests`).
    """
    required = os.environ.get("SPARSEGMRF_REQUIRE", "").split(",")
    if ("all" in required and of_tests) or module.partition(".")[0] in required:
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"{module} is not installed")


def require_for(program):
    """Skip without an optional library that a program imports, or that it reads or writes files by."""
    trees = ast.walk(ast.parse(program))
    imported = {alias.name for tree in trees if isinstance(tree, ast.Import) for alias in tree.names}
    for module in sorted(imported & OPTIONAL):
        require(module)
    for suffix, modules in READ_BY.items():
        if f'{suffix}"' in program:
            for module in modules:
                require(module)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, in which commands draw no figures."""
    from tests.table_of_files import without_figures  # which needs this module

    require("rasterio")
    monkeypatch.chdir(tmp_path)
    with without_figures():
        yield tmp_path


@pytest.fixture
def run(capsys):
    """Run a command that must end well, say nothing but results, and return what it prints."""
    from sparsegmrf.cli import main

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        assert captured.err == ""
        return captured.out

    return call


@pytest.fixture
def refused(capsys):
    """Run a command that must refuse its arguments and leave the folder as it was, and return the reason."""
    from sparsegmrf.cli import main

    def call(*arguments):
        before = sorted(Path().iterdir())
        assert main([str(argument) for argument in arguments]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert sorted(Path().iterdir()) == before
        return line

    return call
