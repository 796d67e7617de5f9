"""The package imports where nothing can be written but a temporary directory, and says how to keep its kernels."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sparsegmrf
from sparsegmrf import kernels

NAME = "NUMBA_CACHE_DIR"
WARNING = "compiled kernels cannot be kept"
JOB = """
import os, sys, subprocess
from pathlib import Path
import numpy as np, sparsegmrf
assert sparsegmrf.__file__.startswith(sys.argv[1]), sparsegmrf.__file__
field = sparsegmrf.GMRF.from_whitening(sparsegmrf.TriangularStencil([(0, -1)], 1.0, [-0.5], (2, 3)))
assert abs(field.logpdf(np.zeros((2, 3))) + 3.0 * np.log(2.0 * np.pi)) < 1e-12
place = Path(os.environ["NUMBA_CACHE_DIR"])
assert place.parent == Path(os.environ["TMPDIR"]), place
if len(sys.argv) == 2:
    assert list(place.rglob("*.nbi")), "nothing was kept for processes started from this one"
    subprocess.run([sys.executable, "-W", "error", *sys.orig_argv[1:], "again"], check=True)
    assert place.is_dir()
"""


@pytest.fixture
def read_only(tmp_path):
    """A copy of the package and an environment in which no file can be written beside it or under the home."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("compilation is switched off")
    package = tmp_path / "site" / "sparsegmrf"
    source = Path(sparsegmrf.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "kernels"))
    shutil.copytree(kernels.__path__[0], package / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    # Permissions do not hold an administrator back: a file in the place of a folder does.
    (package / "kernels" / "__pycache__").touch()
    home = tmp_path / "home"
    home.touch()
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "TMPDIR": str(tmp_path / "temporary"),
        "PYTHONPATH": str(package.parent),
    }
    environment.pop("NUMBA_CACHE_DIR", None)
    return environment


def run(code, environment, *options):
    arguments = [sys.executable, *options, "-c", code, environment["PYTHONPATH"]]
    return subprocess.run(
        arguments, env=environment, cwd=environment["TMPDIR"], capture_output=True, text=True, check=False
    )


def test_kernels_go_to_a_temporary_directory_with_one_warning_and_are_removed_at_the_end(read_only):
    result = run(JOB, read_only)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("Warning") == 1
    assert f"RuntimeWarning: {WARNING}" in result.stderr
    assert "set NUMBA_CACHE_DIR to a directory" in result.stderr
    assert list(Path(read_only["TMPDIR"]).iterdir()) == []


def test_a_directory_of_ones_own_is_taken_without_a_warning(read_only, tmp_path):
    own = str(tmp_path / "own")
    code = f"import numba, os, sparsegmrf.kernels\nassert numba.config.CACHE_DIR == os.environ[{NAME!r}] == {own!r}"
    result = run(code, read_only | {"NUMBA_CACHE_DIR": own}, "-W", "error")
    assert result.returncode == 0, result.stderr


def test_a_directory_of_ones_own_that_cannot_be_written_is_replaced_with_the_warning(read_only):
    result = run("import sparsegmrf.kernels", read_only | {"NUMBA_CACHE_DIR": read_only["XDG_CACHE_HOME"]})
    assert result.returncode == 0, result.stderr
    assert result.stderr.count(WARNING) == 1


def test_without_any_directory_the_variable_that_names_one_is_told(read_only):
    code = "import os, tempfile\ntempfile.tempdir = os.environ['XDG_CACHE_HOME']\nimport sparsegmrf.kernels"
    result = run(code, read_only)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("OSError: compiled kernels need a directory, but neither")
    assert result.stderr.rstrip().endswith("set NUMBA_CACHE_DIR to a directory that can.")


def test_where_the_folder_can_be_written_numba_is_left_alone():
    code = f"import os, numba, sparsegmrf.kernels; assert not numba.config.CACHE_DIR; assert {NAME!r} not in os.environ"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
