"""Fit of a causal autoregression against numpy on the explicit design: normal equations, and lstsq where it fits."""

import numpy as np
import pytest

from sparsegmrf.autoregression import CausalAR, CausalARFit

RADII = {4: 1, 12: 2}


@pytest.fixture(scope="module", params=[1024, 4096])
def image(request):
    return np.random.default_rng(0).standard_normal((request.param, request.param))


def explicit_design(image, weights):
    """Neighbours ``(K + 1, n)``, a constant last, and pixels ``(n,)``."""
    height, width = image.shape
    r = RADII[weights]
    offsets = CausalAR(np.zeros(weights), support="nshp", radius=r).offsets
    design = np.empty((weights + 1, height - r, width - 2 * r))
    for row, (di, dj) in zip(design, offsets, strict=False):
        row[...] = image[r + di : height + di, r + dj : width - r + dj]
    design[-1] = 1.0
    return design.reshape(weights + 1, -1), image[r:, r : width - r].ravel()


def normal_equations(image, weights):
    """Weights and intercept from ``Z Z^T``."""
    Z, y = explicit_design(image, weights)
    return np.linalg.solve(Z @ Z.T, Z @ y)


def lstsq(image, weights):
    """Weights and intercept by singular values."""
    Z, y = explicit_design(image, weights)
    return np.linalg.lstsq(Z.T, y, rcond=None)[0]


def streamed(image, weights):
    """The fit of the package."""
    return CausalAR.fit(image, support="nshp", radius=RADII[weights])


def streamed_yule_walker(image, weights):
    """The fit of the package from autocovariances."""
    return CausalAR.fit(image, support="nshp", radius=RADII[weights], method="yule_walker")


def streamed_with_mask(image, weights):
    """The fit of the package with one missing pixel."""
    mask = np.zeros(image.shape, dtype=bool)
    mask[-1, -1] = True
    return CausalAR.fit(image, support="nshp", radius=RADII[weights], mask=mask)


@pytest.mark.parametrize("weights", [4, 12])
@pytest.mark.parametrize("method", [streamed, streamed_with_mask, streamed_yule_walker, normal_equations, lstsq])
def test_fit(benchmark, image, weights, method):
    if method is lstsq and len(image) > 1024:
        pytest.skip("lstsq takes minutes and 10 GB on the explicit design of 4096 x 4096 pixels")
    benchmark.group = f"fit {weights} weights, {len(image)} x {len(image)}"
    reference = streamed(image, weights)  # compiles, too
    found = method(image, weights)
    fitted = found.model.weights if isinstance(found, CausalARFit) else found[:weights]
    np.testing.assert_allclose(fitted, reference.model.weights, atol=1e-3 if method is streamed_yule_walker else 1e-6)
    benchmark.pedantic(method, args=(image, weights), rounds=3)
