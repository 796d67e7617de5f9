"""Rows of a precision: what they say of the model, against its own stencil and dense matrices."""

import numpy as np
import pytest

from sparsegmrf._edges import has
from sparsegmrf.errors import StencilError
from sparsegmrf.models import CAR, Channels, Intrinsic, Matern, TensionSpline
from sparsegmrf.stencil.rows import Rows, gram
from tests.models.catalogue import COMPOSED, FRACTIONAL, INTRINSIC, PROPER, SHAPE

ALL = PROPER | FRACTIONAL | INTRINSIC | COMPOSED
UNDOMINATED = {"CAR degree 8"}


def dense(rows):
    """``A`` of one family, row by row."""
    height, width = rows.shape
    A = np.zeros((height * width, height * width))
    for (di, dj), plane in zip(rows.offsets.tolist(), rows.planes, strict=True):
        for i in range(height):
            for j in range(width):
                if plane[i, j]:
                    A[i * width + j, (i + di) * width + j + dj] += plane[i, j]
    return A


def wraps(model):
    members = getattr(model, "models", (getattr(model, "model", model),))
    return any(has(getattr(each, "boundary", "dirichlet"), "torus") for each in members)


@pytest.mark.parametrize("name", ALL)
def test_rows_multiply_to_the_precision(name):
    model = ALL[name]
    if wraps(model) or isinstance(model, Channels):
        with pytest.raises(StencilError, match=r"wrap|one field at a time"):
            model.rows(SHAPE)
        return
    if name in UNDOMINATED:
        with pytest.raises(StencilError, match="diagonal of at least"):
            model.rows(SHAPE)
        return
    rows, Q = model.rows(SHAPE), model.stencil(SHAPE).tocsr().toarray()
    channels = 1 if model.combination is None else len(model.combination)
    assert len({(each.channel, each.name) for each in rows}) == len(rows)
    found = np.zeros_like(Q)
    for each in rows:
        A = dense(each)
        found[each.channel :: channels, each.channel :: channels] += A.T @ A
    np.testing.assert_allclose(found, Q, atol=1e-11 * np.abs(Q).max())
    np.testing.assert_allclose(gram(rows, channels).tocsr().toarray(), Q, atol=1e-11 * np.abs(Q).max())


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2), (5, 1), (3, 2)])
@pytest.mark.parametrize("model", [TensionSpline(0.3), Matern(4.0, nu=2), Intrinsic(order=2), CAR(0.2)], ids=str)
def test_rows_of_small_lattices(model, shape):
    Q = model.stencil(shape).tocsr().toarray()
    np.testing.assert_allclose(gram(model.rows(shape)).tocsr().toarray(), Q, atol=1e-11)


def test_products_with_rows_are_adjoint():
    rng = np.random.default_rng(0)
    for each in TensionSpline(0.3, anisotropy=(2.0, 0.4), diffusion="smooth").rows(SHAPE):
        x, e = rng.standard_normal((2, 3, *SHAPE))
        assert np.sum(each.apply(x) * e) == pytest.approx(np.sum(x * each.adjoint(e)))
        np.testing.assert_allclose(each.apply(x).reshape(3, -1), x.reshape(3, -1) @ dense(each).T, atol=1e-12)


def test_which_rows_touch_a_pixel():
    pixels = np.zeros((3, 4), dtype=bool)
    pixels[1, 2] = True
    differences = Rows.of({(0, 0): np.array(-1.0), (0, 1): np.array(1.0)}, (3, 4), "differences")
    assert np.argwhere(differences.touching(pixels)).tolist() == [[1, 1], [1, 2]]


def test_a_scaled_field_has_the_law_of_its_lattice_on_windows():
    model = Intrinsic(1, 2.0, scale=True)
    found = model.on_lattice(SHAPE)
    assert not found.scale
    np.testing.assert_allclose(found.stencil(SHAPE).diagonal(), model.stencil(SHAPE).diagonal())
