"""Spectral draws and variances against the bare transform, and a model's stencil against its factorization.

``pytest bench/test_spectral.py --benchmark-json=out.json``; a group is one operation at one size, with the bare
``scipy.fft.dctn`` of the same image, on as many threads, and the normals alone as its other members.
"""

import numpy as np
import pytest
import scipy.fft

import sparsegmrf
from sparsegmrf import Matern, factorize
from sparsegmrf.factors.normals import fill_standard_normal


def field(side, boundary):
    return Matern(20.0, boundary=boundary).gmrf((side, side))


def draw(side, boundary):
    found = field(side, boundary)
    found.sample(rng=0)
    return lambda: found.sample(rng=0)


def transform(side, boundary):
    image = np.random.default_rng(0).standard_normal((side, side))
    workers = sparsegmrf.get_num_threads()
    return lambda: scipy.fft.dctn(image, norm="ortho", workers=workers)


def normals(side, boundary):
    image = np.empty((side, side))
    return lambda: fill_standard_normal(np.random.default_rng(0), image)


def variances(side, boundary):
    found = field(side, boundary)
    middle = np.sqrt(found.marginal_variance()[side // 2, side // 2])
    assert abs(middle - 1.0) < 1e-6
    return found.marginal_variance


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet"])
@pytest.mark.parametrize("side", [2048, 4096])
@pytest.mark.parametrize("operation", [draw, transform, normals, variances])
def test_spectral(benchmark, operation, side, boundary):
    benchmark.group = f"spectral {side}, {boundary}"
    benchmark.name = operation.__name__
    benchmark.pedantic(operation(side, boundary), rounds=3, warmup_rounds=1)


@pytest.mark.parametrize("operation", ["stencil", "factorize"])
def test_stencil_of_a_model(benchmark, operation):
    model = Matern(20.0, anisotropy=(2.0, 0.5))
    stencil = model.stencil((512, 512))
    benchmark.group = "model 512"
    benchmark.name = operation
    call = (lambda: model.stencil((512, 512))) if operation == "stencil" else (lambda: factorize(stencil))
    benchmark.pedantic(call, rounds=3, warmup_rounds=1)
