"""Products and solves on images large enough for tiles: against scipy, along every cut, for any number of threads."""

import pickle

import numpy as np
import pytest
import scipy.sparse.linalg
from numpy.testing import assert_allclose

from sparsegmrf import TriangularStencil
from sparsegmrf.factors import _recursion
from sparsegmrf.factors._recursion import Recursion
from sparsegmrf.kernels import triangular

# To the upper right, so that tiles are sheared by 3, and five to the left, beyond the registers of the recursion.
WIDE = [(-2, 1), (-1, -2), (-1, -1), (-1, 0), (-1, 3), (0, -5), (0, -2), (0, -1)]
NEAREST = [(-1, 0), (0, -1)]
STENCILS = {
    "causal": WIDE,
    "anticausal": [(-di, -dj) for di, dj in WIDE],
    "nearest": NEAREST,
    "above only": [(-1, 1)],
    "left only": [(0, -1)],
}


def stencil(offsets, shape, per_pixel=False, channels=1):
    rng = np.random.default_rng(5)
    block = () if channels == 1 else (channels, channels)
    size = 0.9 / (len(offsets) * channels)
    weights = [rng.uniform(-size, size, (*shape, *block) if per_pixel else block) for _ in offsets]
    diagonal = rng.uniform(1.0, 2.0, shape if per_pixel else ())
    if channels > 1:
        diagonal = diagonal[..., np.newaxis, np.newaxis] * np.eye(channels)
    return TriangularStencil(offsets, diagonal, weights, shape, channels=channels)


def results(A, transposed, batch=1):
    """The product with, and the solution of, random images."""
    recursion = Recursion.of(A, transposed=transposed)
    x = np.random.default_rng(6).standard_normal((batch, A.lattice.size))
    product, solution = np.empty_like(x), np.empty_like(x)
    recursion.multiply(x, product)
    recursion.solve(x, solution)
    return x, product, solution


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("per_pixel", [False, True])
@pytest.mark.parametrize("offsets", STENCILS.values(), ids=STENCILS)
@pytest.mark.parametrize("shape", [(150, 1400), (400, 700), (3, 70_000), (140_000, 1)])
def test_tiles_give_what_scipy_gives(offsets, shape, per_pixel, transposed):
    A = stencil(offsets, shape, per_pixel)
    matrix = A.tocsr().T.tocsr() if transposed else A.tocsr()
    x, product, solution = results(A, transposed)
    assert_allclose(product[0], matrix @ x[0], rtol=1e-11, atol=1e-11)
    assert_allclose(matrix @ solution[0], x[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("offsets", STENCILS.values(), ids=STENCILS)
def test_small_tiles_give_what_one_tile_gives(offsets, transposed, monkeypatch):
    A = stencil(offsets, (23, 31), per_pixel=True)
    _, product, solution = results(A, transposed, batch=3)
    for band, span in ((1, 1), (2, 3), (5, 7), (7, 40), (30, 4)):
        monkeypatch.setattr(_recursion, "_BAND", band)
        monkeypatch.setattr(_recursion, "_SPAN", span)
        monkeypatch.setattr(_recursion, "_TILE", band * span)
        _, tiled_product, tiled_solution = results(A, transposed, batch=3)
        assert_allclose(tiled_product, product, rtol=1e-13, atol=1e-14)
        assert_allclose(tiled_solution, solution, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("per_pixel", "channels"), [(False, 1), (True, 1), (True, 2)])
def test_results_are_bitwise_the_same_for_any_number_of_threads(per_pixel, channels, transposed, threads):
    A = stencil(WIDE, (700, 1100), per_pixel, channels)
    outcomes = []
    for count in (1, 2, 3):
        threads(count)
        outcomes.append(results(A, transposed, batch=2))
    for other in outcomes[1:]:
        assert np.array_equal(outcomes[0][1], other[1])
        assert np.array_equal(outcomes[0][2], other[2])


def test_a_batch_is_bitwise_its_items():
    A = stencil(WIDE, (40, 60))
    recursion = Recursion.of(A)
    x = np.random.default_rng(7).standard_normal((200, A.lattice.size))  # several tasks of several items
    together, alone = np.empty_like(x), np.empty_like(x)
    recursion.solve(x, together)
    for item in range(len(x)):
        recursion.solve(x[item : item + 1], alone[item : item + 1])
    assert np.array_equal(together, alone)


def test_solving_in_place_is_bitwise_solving_elsewhere():
    recursion = Recursion.of(stencil(WIDE, (300, 700)))
    x = np.random.default_rng(8).standard_normal((1, 210_000))
    elsewhere = np.empty_like(x)
    recursion.solve(x, elsewhere)
    recursion.solve(x, x)
    assert np.array_equal(x, elsewhere)


def test_solution_agrees_with_spsolve_triangular():
    A = stencil(WIDE, (60, 50), per_pixel=True)
    x, _, solution = results(A, transposed=False)
    expected = scipy.sparse.linalg.spsolve_triangular(A.tocsr(), x[0])
    assert_allclose(solution[0], expected, rtol=1e-10, atol=1e-12)


def test_nan_stays_where_the_recursion_carries_it():
    A = stencil(NEAREST, (6, 8))
    recursion = Recursion.of(A)
    b = np.zeros((1, 48))
    b[0, 3 * 8 + 4] = np.nan
    x = np.empty_like(b)
    recursion.solve(b, x)
    expected = np.zeros((6, 8), dtype=bool)
    expected[3:, 4:] = True
    assert np.array_equal(np.isnan(x[0].reshape(6, 8)), expected)


@pytest.mark.skipif(not hasattr(triangular.solve_tile, "signatures"), reason="compilation is disabled")
def test_every_kernel_has_one_specialization():
    for channels in (1, 2):
        for per_pixel in (False, True):
            for transposed in (False, True):
                A = stencil(WIDE, (4, 5), per_pixel, channels)
                results(A, transposed)
                results(pickle.loads(pickle.dumps(A)), transposed)  # its arrays come back writable
    for kernel in (
        triangular.multiply_rows,
        triangular.solve_tile,
        triangular.multiply_block_rows,
        triangular.solve_block_tile,
    ):
        assert len(kernel.signatures) == 1, kernel.signatures
