"""The package imports where nothing can be written but a temporary directory, and says how to keep its kernels."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sparsegmrf
from sparsegmrf import kernels
from tests.conftest import require

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

COMPILE = """
from numba import types
from sparsegmrf.kernels import dissection_fronts
dissection_fronts.log_pivots.compile((types.int64, types.int64, types.Array(types.float64, 1, "C")))
"""
# Permissions do not hold an administrator back.
REFUSE = """
import sys, tempfile
def refuse(*, dir, take=tempfile.TemporaryFile):
    if dir.startswith(sys.argv[1]):
        raise PermissionError(dir)
    return take(dir=dir)
tempfile.TemporaryFile = refuse
"""
TAKEN = """
stats = dissection_fronts.log_pivots.stats
assert sum(stats.cache_hits.values()) == 1 and not stats.cache_misses, stats
assert not stats.cache_path.startswith(sys.argv[1]), stats
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


@pytest.mark.parametrize(("place", "code"), [("", 0), ("tempfile.tempdir = os.environ['XDG_CACHE_HOME']", 2)])
def test_commands_tell_on_one_line_that_kernels_cannot_be_kept(read_only, place, code):
    require("typer")
    command = f"import os, sys, tempfile\n{place}\nfrom sparsegmrf.cli import main\nsys.exit(main(['--version']))"
    result = run(command, read_only | {"MPLCONFIGDIR": read_only["TMPDIR"]})
    (line,) = result.stderr.splitlines()
    assert result.returncode == code
    assert line.startswith(f"sparsegmrf: {'compiled kernels need a directory' if code else f'warning: {WARNING}'}")
    assert "set NUMBA_CACHE_DIR to a directory that can" in line


@pytest.fixture
def built(read_only):
    """The environment above and one to build in, in which the folder of the package can be written."""
    (Path(read_only["PYTHONPATH"]) / "sparsegmrf" / "kernels" / "__pycache__").unlink()
    return read_only, read_only | {"HOME": read_only["TMPDIR"], "XDG_CACHE_HOME": read_only["TMPDIR"]}


def test_kernels_compiled_beforehand_are_taken_from_a_folder_that_cannot_be_written_without_a_warning(built):
    later, builder = built
    assert run(COMPILE, builder).returncode == 0
    result = run(REFUSE + COMPILE + TAKEN, later, "-W", "error")
    assert (result.returncode, result.stderr) == (0, "")
    assert list(Path(later["TMPDIR"]).iterdir()) == []


def test_kernels_compiled_beforehand_are_copied_to_the_cache_of_a_user(built, tmp_path):
    later, builder = built
    assert run(COMPILE, builder).returncode == 0
    of_user = later | {"HOME": str(tmp_path / "user"), "XDG_CACHE_HOME": str(tmp_path / "user")}
    for _ in range(2):
        result = run(REFUSE + COMPILE + TAKEN, of_user, "-W", "error")
        assert (result.returncode, result.stderr) == (0, "")
    copied = [path.suffix for path in (tmp_path / "user").rglob("*log_pivots*")]
    assert sorted(copied) == [".nbc", ".nbi"]


def test_kernels_compiled_beforehand_are_taken_from_a_directory_of_ones_own_that_cannot_be_written(built, tmp_path):
    later, builder = built
    own = {"NUMBA_CACHE_DIR": str(tmp_path / "own")}
    assert run(COMPILE, builder | own).returncode == 0
    code = REFUSE.replace("sys.argv[1]", f"(sys.argv[1], {str(tmp_path / 'own')!r})") + COMPILE + TAKEN
    result = run(code, later | own, "-W", "error")
    assert (result.returncode, result.stderr) == (0, "")


def test_kernels_beside_the_package_do_not_get_into_a_directory_of_ones_own(built, tmp_path):
    _, builder = built
    assert run(COMPILE, builder).returncode == 0
    own = {"NUMBA_CACHE_DIR": str(tmp_path / "own")}
    assert run("import sparsegmrf.kernels", builder | own).returncode == 0
    assert not list((tmp_path / "own").rglob("*log_pivots*"))


def test_what_is_compiled_where_it_cannot_be_kept_is_told(built):
    later, builder = built
    assert run(COMPILE, builder).returncode == 0
    more = COMPILE.replace("float64", "float32")
    result = run(REFUSE + more, {**later, "SPARSEGMRF_QUIET": ""}, "-W", "error")
    assert result.returncode == 0, result.stderr
    assert result.stderr == (
        "sparsegmrf: compiling kernels, which may take minutes; they cannot be kept: set NUMBA_CACHE_DIR to a "
        "directory that can be written\n"
    )


def test_where_the_folder_can_be_written_numba_is_left_alone():
    code = f"import os, numba, sparsegmrf.kernels; assert not numba.config.CACHE_DIR; assert {NAME!r} not in os.environ"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
