"""The first compilation of a process is told in one line, unless somebody wants it quiet."""

import os
import subprocess
import sys

import pytest

COMPILE = """
import sparsegmrf.kernels
from numba import njit, types
from sparsegmrf.kernels import dissection_fronts, pixel_distances

def compile_two():
    floats, matrix = types.Array(types.float64, 1, "C"), types.Array(types.float64, 2, "C")
    dissection_fronts.log_pivots.compile((types.int64, types.int64, floats))
    pixel_distances.distances.compile((matrix, floats, matrix, floats, matrix))
"""
LINE = "sparsegmrf: compiling kernels, which may take minutes; they are kept in "


@pytest.fixture
def fresh(tmp_path):
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("compilation is switched off")
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    environment.pop("SPARSEGMRF_QUIET", None)
    return environment


def stderr(code, environment):
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_first_compilation_is_told_once_with_the_directory_and_a_second_process_has_nothing_to_tell(fresh):
    told = stderr(COMPILE + "compile_two()", fresh)
    assert told.startswith(LINE + fresh["NUMBA_CACHE_DIR"])
    assert told.endswith(' ("sparsegmrf warmup" compiles them beforehand)\n')
    assert told.count("\n") == 1
    assert stderr(COMPILE + "compile_two()", fresh) == ""


def test_what_others_compile_is_not_told(fresh):
    assert stderr(COMPILE + "njit(lambda x: x + 1)(2)", fresh) == ""


@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_processes_that_another_one_started_are_silent(fresh, tmp_path, start):
    if start == "fork" and sys.platform == "win32":
        pytest.skip("there is no fork")
    script = tmp_path / "workers.py"
    main = f"with multiprocessing.get_context({start!r}).Pool(2) as pool:\n        pool.apply(compile_two)\n"
    script.write_text(f"import multiprocessing\n{COMPILE}\nif __name__ == '__main__':\n    {main}")
    result = subprocess.run([sys.executable, str(script)], env=fresh, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert list(tmp_path.rglob("*.nbi")), "nothing was compiled"


def test_line_is_held_back_by_the_environment_or_by_logging(fresh):
    assert stderr(COMPILE + "compile_two()", fresh | {"SPARSEGMRF_QUIET": "1"}) == ""
    quiet = "import logging; logging.getLogger('sparsegmrf').setLevel('ERROR')\n"
    assert stderr(quiet + COMPILE + "compile_two()", fresh) == ""
