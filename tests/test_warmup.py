"""Kernels compiled beforehand are those that the usual calls need."""

import os
import subprocess
import sys

import pytest

from sparsegmrf import warmup
from sparsegmrf.cli import main
from sparsegmrf.errors import ArgumentError
from tests.conftest import require

USUAL = """
import numpy as np, sparsegmrf
from sparsegmrf import warmup
from sparsegmrf.factors.dissection._products import own_products
from sparsegmrf.kernels import _first_use, dense_products

compiled = warmup.compile_kernels()
assert compiled == sum(sum(kernel.stats.cache_misses.values()) for kernel in _first_use.all_kernels().values())
ready = {name: set(kernel.signatures) for name, kernel in _first_use.all_kernels().items()}
# Names with an underscore are called by other kernels alone, which bring them along; two stand in for our own products
# where the machine has no wide registers, or BLAS uses them.
replaced = {"dissection_front_inverse.subtract_boundary"} if dense_products.WIDE else set()
replaced |= {"dissection_fronts.update_columns"} if own_products() else set()
missed = [name for name, signatures in ready.items() if not signatures and "._" not in name and name not in replaced]
assert not missed, f"kernels that no part reaches: {missed}"

rng = np.random.default_rng(1)
image = rng.standard_normal((60, 52)).cumsum(axis=0) + rng.standard_normal((60, 52))
image[10:20, 5:30] = np.nan
result = sparsegmrf.fill(image, model=sparsegmrf.Matern(nu=1.0), covariates="constant", n_samples=1, rng=0)
sparsegmrf.diagnose(result.fit)
counts = rng.poisson(3.0, (20, 22))
sparsegmrf.fill(counts, likelihood=sparsegmrf.likelihoods.Poisson(), model=sparsegmrf.Intrinsic())
field = sparsegmrf.CAR(0.2, boundary="torus").gmrf((33, 21))
field.sample(3, rng=0), field.marginal_variance(), field.tocsr(), field.logpdf(np.zeros((33, 21)))
prior = sparsegmrf.Matern(range=4.0, boundary="torus").gmrf((24, 25))
posterior = sparsegmrf.condition(prior, np.ones((24, 25)), mask=np.eye(24, 25) > 0, noise_variance=0.1)
posterior.sample(rng=0), posterior.marginal_variance()
sparsegmrf.autoregression.CausalAR.fit(rng.standard_normal((30, 31))).gmrf().sample(rng=0)
sparsegmrf.ensembles.CholeskyField.fit(rng.standard_normal((9, 7, 6)), radius=2)
sparsegmrf.pixels.PixelGaussian().fit(rng.standard_normal((8, 9, 5))).log_density_image(rng.standard_normal((8, 9, 5)))
sparsegmrf.fill(rng.standard_normal((3, 8, 9)), dates=[0.0, 1.0, 5.0], harmonics=None)

new = {name: set(kernel.signatures) - ready[name] for name, kernel in _first_use.all_kernels().items()}
new = {name: signatures for name, signatures in new.items() if signatures}
assert not new, f"compiled once more: {new}"
"""


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def jit():
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        pytest.skip("compilation is switched off")


@pytest.mark.slow
def test_every_kernel_is_reached_and_usual_calls_compile_none_afterwards(jit):
    require("torch")
    require("sksparse.cholmod")
    result = python(USUAL)
    assert result.returncode == 0, result.stderr


def test_command_tells_what_was_compiled_and_where_it_is_kept(jit, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # paths are longer
    assert main(["warmup", "--parts", "pixels"]) == 0
    counted, kept = capsys.readouterr().out.splitlines()
    assert counted.split()[0] == "pixels"
    assert counted.rstrip().endswith(" kernels compiled")
    assert kept == f"kept in {warmup.kernel_directory()}"
    assert warmup.compile_kernels(["pixels"]) == 0


def test_part_that_is_none_is_refused_with_those_that_are(capsys):
    assert main(["warmup", "--parts", "pixels,fill"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"sparsegmrf: --parts must be among {', '.join(warmup.available_parts())}, got fill.")
    with pytest.raises(ArgumentError, match=r"parts must be one of 'fields', .*, got 'fill'"):
        warmup.compile_kernels(["fill"])


def test_parts_of_libraries_that_are_missing_are_left_out():
    code = "import sys; sys.modules['torch'] = sys.modules['sksparse'] = None\n"
    code += "import importlib.util as u; find = u.find_spec\n"
    code += "u.find_spec = lambda name: None if name in ('torch', 'sksparse') else find(name)\n"
    result = python(code + "from sparsegmrf import warmup; print(*warmup.available_parts())")
    assert result.stdout.split() == ["fields", "textures", "ensembles", "pixels", "stacks", "tiles"], result.stderr


def test_compilation_that_is_switched_off_is_refused():
    result = python("from sparsegmrf import warmup; warmup.compile_kernels(['pixels'])", NUMBA_DISABLE_JIT="1")
    assert "ArgumentError: kernels must be compiled, but NUMBA_DISABLE_JIT=1 switches compilation off" in result.stderr
