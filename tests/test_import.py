"""What importing the package costs, and that compiled kernels are kept for the next process."""

import json
import os
import subprocess
import sys

import pytest

from sparsegmrf._libraries import EXTRAS

HEAVY = ("matplotlib", "typer", "rich", "torch", "dask", "sklearn", "pandas", "netCDF4", "sksparse")

COUNTS = """
import importlib, json, pkgutil
from collections import Counter
import sparsegmrf.kernels
from numba.core.dispatcher import Dispatcher
found = []
for module in pkgutil.iter_modules(sparsegmrf.kernels.__path__, "sparsegmrf.kernels."):
    found += [f for f in vars(importlib.import_module(module.name)).values() if isinstance(f, Dispatcher)]
print(json.dumps({
    "kernels": len(found),
    "compiled": sum(len(f.signatures) for f in found),
    "hits": sum(sum(f.stats.cache_hits.values()) for f in found),
    "misses": sum(sum(f.stats.cache_misses.values()) for f in found),
}))
"""

JOB = """
import numpy as np, sparsegmrf
model = sparsegmrf.autoregression.CausalAR([0.5, 0.4], support=[(-1, 0), (0, -1)])
field = model.gmrf((16, 16))
image = field.sample(rng=0)
field.logpdf(image), field.marginal_variance(), field.tocsr()
sparsegmrf.autoregression.CausalAR.fit(image)
"""


def python(code, **environment):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize(
    "library",
    sorted({*EXTRAS, *HEAVY, "scipy.stats", "scipy.optimize"}),
)
def test_import_leaves_the_libraries_of_the_extras_alone(library, loaded):
    assert library not in loaded


def test_import_says_nothing():
    assert python("import sparsegmrf") == ""


@pytest.fixture(scope="module")
def loaded():
    return set(python("import sys, sparsegmrf; print(*sys.modules)").split())


@pytest.fixture(scope="module")
def jit():
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("compilation is switched off")


def test_import_compiles_nothing_and_loads_no_kernel_from_the_cache(jit):
    counts = json.loads(python("import sparsegmrf\n" + COUNTS))
    assert counts.pop("kernels") > 0
    assert counts == {"compiled": 0, "hits": 0, "misses": 0}


def test_second_process_takes_every_kernel_from_the_cache(jit, tmp_path):
    first, second = (json.loads(python(JOB + COUNTS, NUMBA_CACHE_DIR=str(tmp_path))) for _ in range(2))
    assert first["misses"] > 0
    assert first["hits"] == 0
    assert second["misses"] == 0
    assert second["hits"] > 0
