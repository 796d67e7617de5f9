"""The rolling window of covariances against the dense inverse, for stencils that reach far beyond small images."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import TriangularStencil
from sparsegmrf.factors import _rolling
from sparsegmrf.factors._rolling import covariances
from sparsegmrf.kernels import rolling_covariance
from tests import reference

STENCILS = {
    "wide": [(-2, 1), (-1, -2), (-1, -1), (-1, 0), (-1, 3), (0, -6), (0, -2), (0, -1)],
    "quarter plane": [(-1, -1), (-1, 0), (0, -1)],
    "above right": [(-1, 0), (-1, 1)],
    "rows apart": [(-3, 0), (-1, 0)],
    "left": [(0, -1)],
    "white": [],
}
SHAPES = [(1, 1), (1, 7), (7, 1), (2, 3), (3, 2), (4, 7), (7, 4)]


def planes_and_oracle(offsets, shape, channels, per_pixel):
    rng = np.random.default_rng(sum(shape) + channels)
    block = () if channels == 1 else (channels, channels)
    size = 0.9 / (max(1, len(offsets)) * channels)
    weights = [rng.uniform(-size, size, (*shape, *block) if per_pixel else block) for _ in offsets]
    diagonal = rng.uniform(1.0, 2.0, (*shape, *block) if per_pixel else block)
    causal = any(offset < (0, 0) for offset in offsets)
    if channels > 1:
        keep = np.tril if causal else np.triu
        diagonal = np.eye(channels) * diagonal + 0.2 * keep(rng.uniform(-1.0, 1.0, diagonal.shape))
    A = TriangularStencil(offsets, diagonal, weights, shape, channels=channels)
    dense = reference.triangular_matrix(offsets, diagonal, weights, shape, channels)
    asked = A.gram_offsets
    oracle = reference.planes(reference.covariance(dense.T @ dense), asked.tolist(), shape, channels)
    return covariances(A, asked).reshape(oracle.shape), oracle


@pytest.mark.parametrize("per_pixel", [False, True])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", STENCILS)
def test_all_lags_of_the_precision_are_those_of_the_dense_inverse(name, sign, channels, per_pixel):
    offsets = [(sign * di, sign * dj) for di, dj in STENCILS[name]]
    for shape in SHAPES:
        ours, oracle = planes_and_oracle(offsets, shape, channels, per_pixel)
        assert_allclose(ours, oracle, rtol=1e-9, atol=1e-11, err_msg=str(shape))


@pytest.mark.parametrize("sign", [1, -1])
def test_narrow_blocks_of_window_columns_give_what_one_block_gives(sign, monkeypatch):
    offsets = [(sign * di, sign * dj) for di, dj in STENCILS["wide"]]
    whole, _ = planes_and_oracle(offsets, (5, 9), 2, True)
    for block in (1, 4, 7):
        monkeypatch.setattr(_rolling, "_TASK", 0)
        monkeypatch.setattr(_rolling, "_LEAST_BLOCK", block)
        cut, _ = planes_and_oracle(offsets, (5, 9), 2, True)
        assert_allclose(cut, whole, rtol=1e-12, atol=1e-14)


@pytest.mark.skipif(not hasattr(rolling_covariance.extract_row, "signatures"), reason="compilation is disabled")
def test_every_kernel_has_one_specialization():
    for channels in (1, 2):
        for per_pixel in (False, True):
            planes_and_oracle(STENCILS["wide"], (4, 5), channels, per_pixel)
    for kernel in (
        rolling_covariance.innovation_columns,
        rolling_covariance.advance_columns,
        rolling_covariance.mirror_rows,
        rolling_covariance.extract_row,
    ):
        assert len(kernel.signatures) == 1, kernel.signatures
