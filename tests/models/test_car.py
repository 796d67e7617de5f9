"""CAR: its matrix against the definition, and the exact limits of its interactions."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import factorize
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, StencilError
from sparsegmrf.models import CAR, SAR
from tests.models.catalogue import WIDE, adjacency

SHAPE = (5, 7)
EIGHT = [(0, 1), (1, -1), (1, 0), (1, 1)]


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "torus"])
@pytest.mark.parametrize(
    ("neighbourhood", "rho", "offsets", "weights"),
    [
        (4, 0.15, [(1, 0), (0, 1)], [0.15, 0.15]),
        (4, (0.1, 0.2), [(1, 0), (0, 1)], [0.1, 0.2]),
        (8, 0.05, EIGHT, [0.05] * 4),
        (8, (0.1, 0.02, 0.03, 0.04), EIGHT, [0.1, 0.02, 0.03, 0.04]),
        (WIDE, (0.1, 0.02, 0.03, -0.04), WIDE, [0.1, 0.02, 0.03, -0.04]),
    ],
)
def test_constant_form_is_its_definition(boundary, neighbourhood, rho, offsets, weights):
    found = CAR(rho, 2.0, neighbourhood, boundary=boundary).stencil(SHAPE).tocsr().toarray()
    assert_allclose(found, 2.0 * (np.eye(35) - adjacency(offsets, weights, SHAPE, boundary)), atol=1e-14)


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "torus"])
@pytest.mark.parametrize("rho", [0.9, (0.3, -0.8)])
def test_degree_form_is_its_definition(boundary, rho):
    rule = "torus" if boundary == "torus" else "dirichlet"
    vertical, horizontal = (rho, rho) if np.ndim(rho) == 0 else rho
    offsets = [(1, 0), (0, 1)]
    D = np.diag(adjacency(offsets, [1.0, 1.0], SHAPE, rule).sum(axis=1))
    expected = 2.0 * (D - adjacency(offsets, [vertical, horizontal], SHAPE, rule))
    found = CAR(rho, 2.0, form="degree", boundary=boundary).stencil(SHAPE).tocsr().toarray()
    assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize(
    "model",
    [
        CAR(0.1),
        CAR((0.1, -0.2)),
        CAR(0.1, neighbourhood=8),
        CAR((0.1, 0.2), boundary="neumann"),
        CAR(0.1, boundary="torus"),
        CAR((0.1, 0.05, 0.02, 0.01), neighbourhood=WIDE, boundary="torus"),
        CAR(0.5, form="degree"),
        CAR(0.5, neighbourhood=8, form="degree"),
        CAR(0.5, neighbourhood=8, form="degree", boundary="torus"),
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(5, 7), (1, 6), (4, 4), (2, 3)])
def test_precision_is_singular_at_the_limits_and_definite_between(model, shape):
    limits = model.limits(shape)
    for name, (low, high) in limits.items():
        if name == "tau":
            continue
        for end, sign in ((low, 1.0), (high, -1.0)):
            if not np.isfinite(end):
                continue
            inside, at, outside = (
                np.linalg.eigvalsh(model.replace(**{name: end + step}).build_stencil(shape).tocsr().toarray())[0]
                for step in (sign * 1e-6, 0.0, -sign * 1e-6)
            )
            assert inside > 0.0
            assert abs(at) < 1e-12
            assert outside < 0.0


def test_limit_of_four_neighbours_is_the_closed_form():
    low, high = CAR().limits((40, 31))["rho"]
    expected = 1.0 / (2.0 * np.cos(np.pi / 41) + 2.0 * np.cos(np.pi / 32))
    assert high == pytest.approx(expected, rel=1e-14)
    assert low == -high


def test_limits_of_a_wide_neighbourhood_are_where_the_symbol_is_zero():
    model = CAR(0.1, neighbourhood=WIDE)
    low, high = model.limits((9, 9))["rho"]
    assert high == pytest.approx(1.0 / 8.0, rel=1e-12)
    for end in (low, high):
        assert abs(model.replace(rho=end).build_stencil((9, 9)).min_symbol()) < 1e-12
    large = [np.linalg.eigvalsh(model.replace(rho=low).build_stencil((n, n)).tocsr().toarray())[0] for n in (8, 16, 32)]
    assert large[0] > large[1] > large[2] > 0.0
    assert large[2] < 0.1


def test_a_field_outside_the_limits_is_refused_with_the_interval():
    with pytest.raises(ArgumentError, match=r"rho must lie in \(-0\.25\d+, 0\.25\d+\).*got 0\.26"):
        CAR(0.26).gmrf((64, 64))
    with pytest.raises(NotPositiveDefiniteError):
        factorize(CAR(0.26).build_stencil((64, 64)))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"rho": (0.1, 0.1, 0.1)}, r"rho.*pair.*shape \(3,\)"),
        ({"rho": (0.1, 0.1), "neighbourhood": 8}, "rho"),
        ({"rho": np.nan}, "rho"),
        ({"tau": 0.0}, "tau"),
        ({"tau": -1.0}, "tau"),
        ({"neighbourhood": 6}, "neighbourhood"),
        ({"form": "other"}, "form"),
        ({"boundary": "wrap"}, "boundary"),
    ],
)
def test_bad_arguments_are_named(arguments, match):
    with pytest.raises(ArgumentError, match=match):
        CAR(**arguments)


@pytest.mark.parametrize("neighbourhood", [[(0, -1)], [(0, 0)], [], [(0, 1), (0, 1)]])
def test_neighbourhoods_that_are_none_are_refused(neighbourhood):
    with pytest.raises(StencilError, match="neighbourhood"):
        CAR(neighbourhood=neighbourhood)


def test_covariance_of_draws_is_the_inverse_of_the_precision_not_its_square():
    # 20000 draws; an entry's standard error is at most sqrt(2/20000) = 0.01 of the variances, and 7 of them leave a
    # false-alarm probability below 1e-8 over all entries. Q^-2 is 2.6 times Q^-1 on the diagonal.
    model, shape = CAR(0.24), (4, 5)
    draws = model.gmrf(shape).sample(20000, rng=0).reshape(20000, -1)
    expected = np.linalg.inv(model.stencil(shape).tocsr().toarray())
    scale = np.sqrt(np.outer(np.diagonal(expected), np.diagonal(expected)))
    assert (np.abs(draws.T @ draws / 20000 - expected) < 0.07 * scale).all()


@pytest.mark.parametrize(
    ("model", "shape", "pixel"),
    [
        (CAR(0.5, form="degree"), (1, 1), r"\(0, 0\)"),
        (CAR(0.5, form="degree", boundary="neumann"), (1, 1), r"\(0, 0\)"),
        (CAR(0.5, neighbourhood=[(0, 1)], form="degree"), (5, 1), r"\(0, 0\)"),
        (CAR(0.5, neighbourhood=[(0, 2)], form="degree"), (4, 3), r"\(0, 1\)"),
    ],
)
def test_degree_form_says_that_a_pixel_without_neighbours_has_no_distribution(model, shape, pixel):
    message = rf"^form=\"degree\" must have .* got none for {pixel} .*has no distribution"
    for call in (model.stencil, model.derivatives, lambda shape: model.gmrf(shape).logdet):
        with pytest.raises(ArgumentError, match=message):
            call(shape)
    remedy = SAR(0.5, neighbourhood=model.neighbourhood, row_standardized=True).gmrf(shape)
    assert np.isfinite(remedy.sample(rng=0)).all()
