"""Intrinsic fields: null spaces, generalized determinants, densities, draws and variances against the dense ones."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.models import Intrinsic, TensionSpline
from tests.models.catalogue import BARRIER, INTRINSIC, SHAPE

EVERY = pytest.mark.parametrize("model", list(INTRINSIC.values()), ids=list(INTRINSIC))


def oracle(model, shape):
    """Dense precision of the pixels that have a field, these pixels, eigenvalues, rank deficiency, pseudo-inverse."""
    outside = model.mask if isinstance(model, Intrinsic) else model.barrier
    inside = np.ones(shape, dtype=bool) if outside is None else ~outside
    Q = model.stencil(shape).tocsr().toarray()
    assert not Q[~inside.ravel()].any()
    Q = Q[np.ix_(inside.ravel(), inside.ravel())]
    values, vectors = np.linalg.eigh(Q)
    null = values < 1e-9 * values[-1]
    inverse = (vectors[:, ~null] / values[~null]) @ vectors[:, ~null].T
    return Q, inside, values[~null], int(null.sum()), inverse


@EVERY
@pytest.mark.parametrize("method", ["auto", "dense"])
def test_field_is_the_dense_one_off_its_null_space(model, method):
    field = model.gmrf(SHAPE, mean=2.0, method=method)
    Q, inside, values, deficiency, S = oracle(model, SHAPE)
    assert field.rank_deficiency == deficiency
    assert field.rank == len(values)
    assert field.logdet == pytest.approx(np.log(values).sum(), rel=1e-9)
    assert_allclose(field.marginal_variance()[inside], np.diagonal(S), rtol=1e-8, atol=1e-20)
    x = np.random.default_rng(0).standard_normal((3, *SHAPE))
    r = x[:, inside] - 2.0
    expected = 0.5 * (np.log(values).sum() - len(values) * np.log(2 * np.pi) - np.einsum("bp,pq,bq->b", r, Q, r))
    assert_allclose(field.logpdf(x), expected, rtol=1e-9)
    assert field.logpdf(x[0]) == pytest.approx(expected[0])
    b = np.where(inside, x, 0.0)
    assert_allclose(field.factor.solve(b)[:, inside], b[:, inside] @ S, rtol=1e-8, atol=1e-9)
    pixel = (0, 2)
    place = int(np.flatnonzero(np.flatnonzero(inside.ravel()) == 2)[0])
    assert_allclose(field.covariance_with(pixel)[inside], S[:, place], rtol=1e-8, atol=1e-10)


@EVERY
def test_draws_are_orthogonal_to_the_null_space_and_have_the_pseudo_inverse_as_covariance(model):
    # 20000 draws: an entry's standard error is at most 0.01 of the variances; 7 of them leave a false-alarm probability
    # below 1e-8 over all entries of all models.
    _, inside, _, _, S = oracle(model, SHAPE)
    draws = model.gmrf(SHAPE).sample(20000, rng=1)
    assert not draws[:, ~inside].any()
    flat = draws[:, inside]
    scale = np.sqrt(np.outer(np.diagonal(S), np.diagonal(S)))
    assert (np.abs(flat.T @ flat / 20000 - S) <= 0.07 * scale + 1e-12).all()
    null = np.eye(len(S)) - np.linalg.pinv(S, rcond=1e-10) @ S
    assert np.abs(flat[:100] @ null).max() < 1e-9 * np.abs(flat).max() + 1e-10


@EVERY
def test_mean_is_added_after_the_constraint(model):
    field, shifted = model.gmrf(SHAPE), model.gmrf(SHAPE, mean=5.0)
    assert_allclose(shifted.sample(rng=2), field.sample(rng=2) + 5.0, rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (1, 7), (2, 2), (5, 1), (2, 6), (3, 3), (6, 5)])
@pytest.mark.parametrize("order", [1, 2])
def test_null_space_is_constants_or_planes_on_any_lattice(order, shape):
    model = Intrinsic(order)
    Q = model.stencil(shape).tocsr().toarray()
    rows, columns = (each.ravel().astype(float) for each in np.mgrid[: shape[0], : shape[1]])
    known = [np.ones(len(Q))] if order == 1 else [np.ones(len(Q)), rows, columns]
    assert max(np.abs(Q @ vector).max() for vector in known) < 1e-12
    expected = np.linalg.matrix_rank(np.stack(known))
    assert len(Q) - np.linalg.matrix_rank(Q, tol=1e-9) == expected
    field = model.gmrf(shape)
    assert field.rank_deficiency == expected
    assert np.abs(np.stack(known) @ field.sample(rng=0).ravel()).max() < 1e-9


def test_log_pseudo_determinant_counts_spanning_trees():
    # The 4 x 4 grid has 100352 spanning trees: the product of the positive eigenvalues is 16 times as many.
    assert Intrinsic().gmrf((4, 4)).logdet == pytest.approx(14.289028006509808, rel=1e-14)
    assert Intrinsic().gmrf((4, 4), method="dense").logdet == pytest.approx(14.289028006509808, rel=1e-13)


def test_second_order_is_the_square_of_the_laplacian_in_the_interior():
    Q = Intrinsic(2).stencil((9, 9))
    interior = {tuple(o): float(Q.plane(k)[4, 4]) for k, o in enumerate(Q.offsets.tolist())}
    expected = {(0, 0): 20.0, (0, 1): -8.0, (1, 0): -8.0, (1, 1): 2.0, (1, -1): 2.0, (0, 2): 1.0, (2, 0): 1.0}
    assert interior == expected


def test_parts_of_a_masked_lattice_have_a_level_each():
    wall = np.zeros((6, 7), dtype=bool)
    wall[:, 3] = wall[2, :3] = True
    field = Intrinsic(mask=wall).gmrf((6, 7))
    assert field.rank_deficiency == 3
    draw = field.sample(rng=0)
    for part in (draw[:2, :3], draw[3:, :3], draw[:, 4:]):
        assert abs(part.sum()) < 1e-12


@pytest.mark.parametrize("model", [Intrinsic(1), Intrinsic(2), Intrinsic(1, mask=BARRIER)], ids=["1", "2", "mask"])
def test_scaled_field_has_geometric_mean_variance_one(model):
    variance = model.replace(scale=True).gmrf(SHAPE).marginal_variance()
    known = variance > 0.0
    assert np.log(variance[known]).mean() == pytest.approx(0.0, abs=1e-9)


def test_second_order_leaves_planes_on_every_part_of_a_masked_lattice():
    wall = np.zeros((8, 9), dtype=bool)
    wall[:, 4] = True
    field = Intrinsic(2, mask=wall).gmrf((8, 9))
    assert field.rank_deficiency == 6
    _, _, values, deficiency, _ = oracle(Intrinsic(2, mask=wall), (8, 9))
    assert deficiency == 6
    assert field.logdet == pytest.approx(np.log(values).sum(), rel=1e-9)
    hinge = np.zeros((3, 7), dtype=bool)
    hinge[0, 3] = hinge[2, 3] = True  # a bridge of one pixel, around which the halves twist
    with pytest.raises(NotPositiveDefiniteError, match="null space"):
        _ = Intrinsic(2, mask=hinge).gmrf((3, 7)).logdet


def test_density_does_not_know_the_level():
    field, x = TensionSpline().gmrf(SHAPE), np.random.default_rng(3).standard_normal(SHAPE)
    assert field.logpdf(x + 100.0) == pytest.approx(field.logpdf(x), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"order": 3}, "order"),
        ({"order": 0}, "order"),
        ({"tau": 0.0}, "tau"),
        ({"order": 2, "boundary": "torus"}, "order must be 1"),
        ({"boundary": "dirichlet"}, "boundary"),
        ({"mask": np.ones((2, 2), dtype=bool)}, "mask"),
        ({"mask": np.ones((2, 2))}, "mask must be boolean"),
    ],
)
def test_bad_arguments_are_named(arguments, match):
    with pytest.raises(ArgumentError, match=match):
        Intrinsic(**arguments)


def test_bad_images_are_named():
    field = Intrinsic(mask=BARRIER).gmrf(SHAPE)
    x = np.zeros(SHAPE)
    x[0, 0] = np.nan
    with pytest.raises(ArgumentError, match="x must be finite"):
        field.logpdf(x)
    with pytest.raises(ArgumentError, match="shape"):
        field.logpdf(np.zeros((3, 3)))
    with pytest.raises(ArgumentError, match="mean"):
        Intrinsic().gmrf(SHAPE, mean=np.zeros(3))
    with pytest.raises(ArgumentError, match="mask must have the shape"):
        Intrinsic(mask=BARRIER).gmrf((3, 3))
