"""SpectralFactor: the contract for all it takes, closed forms, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, factorize
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, StencilError
from sparsegmrf.factors import CholmodFactor, DenseFactor, SpectralFactor, SpectralForm
from tests import reference, strategies
from tests.conftest import require
from tests.contracts import factor_contract

FIVE = [(0, 0), (0, 1), (1, 0)]
NINE = [*FIVE, (1, -1), (1, 1)]


@st.composite
def diagonal_stencils(draw):
    """Homogeneous stencils that one of the bases diagonalizes, positive definite by diagonal dominance."""
    boundary = draw(st.sampled_from(["dirichlet", "neumann", "torus"]))
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    if boundary == "torus":
        offsets = [*NINE, (0, 2), (2, -1)]
        weights = list(rng.uniform(-1.0, 1.0, 6))
    elif boundary == "dirichlet":
        offsets, weights = NINE, list(rng.uniform(-1.0, 1.0, 3))
        weights.append(weights[-1])
    else:
        offsets, weights = FIVE, list(rng.uniform(-1.0, 1.0, 2))
    centre = rng.uniform(0.2, 2.0) + 2.0 * np.abs(weights).sum()
    return strategies.SymmetricCase(offsets, [centre, *weights], draw(strategies.shapes()), 1, boundary, seed)


TestContract = factor_contract(SpectralFactor, diagonal_stencils())


@given(diagonal_stencils())
def test_auto_takes_it_and_dense_agrees(case):
    factor, dense = factorize(case.stencil), DenseFactor(case.stencil)
    assert factor.method == "spectral"
    x = case.images()
    assert_allclose(factor.logdet, dense.logdet, rtol=1e-12, atol=1e-12)
    assert_allclose(factor.solve(x), dense.solve(x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("boundary", "logdet"), [("dirichlet", 1173940.0690998058), ("neumann", 1171792.371578257)])
def test_logdet_of_a_million_pixels_has_the_digits_of_the_closed_form(boundary, logdet):
    stencil = SymmetricStencil(FIVE, [4.01, -1.0, -1.0], (1000, 1000), boundary=boundary)
    assert factorize(stencil).logdet == pytest.approx(logdet, rel=1e-14)


def test_variances_at_corner_and_centre_have_the_digits_of_the_closed_form():
    variance = factorize(SymmetricStencil(FIVE, [4.01, -1.0, -1.0], (512, 512))).marginal_variance()
    assert variance[0, 0] == pytest.approx(0.30100328120292186, rel=1e-14)
    assert variance[255, 255] == pytest.approx(0.6415599786677031, rel=1e-14)


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_logdet_of_the_no_flux_field_is_the_reference_value(side):
    expected = {256: 79567.850391, 512: 319023.928379, 1024: 1277598.492626}[side]
    stencil = SymmetricStencil(FIVE, [4.1, -1.0, -1.0], (side, side), boundary="neumann")
    assert factorize(stencil).logdet == pytest.approx(expected, abs=6e-7)


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann"])
def test_spectral_and_cholmod_agree_on_a_hundred_pixels_a_side(boundary):
    require("sksparse")
    stencil = SymmetricStencil(FIVE, [4.01, -0.7, -1.3], (101, 90), boundary=boundary)
    spectral, cholmod = SpectralFactor(stencil), CholmodFactor(stencil)
    x = np.random.default_rng(0).standard_normal((2, 101, 90))
    assert_allclose(spectral.logdet, cholmod.logdet, rtol=1e-11)
    assert_allclose(spectral.solve(x), cholmod.solve(x), rtol=1e-9, atol=1e-10)
    of_both = spectral.selected_inverse(), cholmod.selected_inverse()
    for k in range(3):
        assert_allclose(of_both[0].plane(k), of_both[1].plane(k), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("basis", ["dst", "dct", "dft"])
def test_results_do_not_depend_on_the_number_of_threads(basis, threads):
    eigenvalues = np.random.default_rng(0).uniform(0.1, 9.0, (300, 217))
    x = np.random.default_rng(1).standard_normal((3, 300, 217))
    found = []
    for count in (1, 2, 3):
        threads(count)
        factor = SpectralFactor(SpectralForm(basis, (eigenvalues + eigenvalues[::-1, ::-1]) / 2.0))
        field = GMRF(factor.form)
        found.append(
            [
                np.array(factor.logdet),
                factor.whiten(x),
                factor.unwhiten(x),
                factor.solve(x),
                factor.marginal_variance(),
                field.sample(2, rng=3),
            ]
        )
    for others in found[1:]:
        assert all(np.array_equal(one, other) for one, other in zip(found[0], others, strict=True))


@pytest.mark.parametrize(
    "stencil",
    [
        SymmetricStencil([*FIVE, (0, 2)], [6.0, -1.0, -1.0, 0.1], (9, 9)),
        SymmetricStencil(NINE, [9.0, -1.0, -1.0, -0.5, -0.4], (9, 9)),
        SymmetricStencil(NINE, [9.0, -1.0, -1.0, -0.5, -0.5], (9, 9), boundary="neumann"),
        SymmetricStencil(FIVE, [np.full((9, 9), 5.0), -1.0, -1.0], (9, 9)),
        SymmetricStencil(FIVE, [np.eye(2) * 5.0, -1.0, -1.0], (9, 9), channels=2),
    ],
    ids=["wide", "unequal diagonals", "no-flux diagonals", "per pixel", "channels"],
)
def test_what_is_not_exactly_diagonal_is_refused_not_approximated(stencil):
    with pytest.raises(StencilError, match="exactly diagonal"):
        SpectralFactor(stencil)
    assert factorize(stencil).method != "spectral"


def test_an_eigenvalue_that_is_not_positive_is_named():
    with pytest.raises(NotPositiveDefiniteError, match=r"eigenvalue 0 at frequency \(0, 0\)") as caught:
        SpectralFactor(SymmetricStencil(FIVE, [4.0, -1.0, -1.0], (4, 5), boundary="neumann"))
    assert caught.value.pivot == 0.0


@pytest.mark.parametrize("bad", [np.ones(3), np.full((2, 2), np.nan), np.ones((0, 3))])
def test_eigenvalues_that_are_no_image_are_refused(bad):
    with pytest.raises(ArgumentError, match="eigenvalues"):
        SpectralForm("dct", bad)


def test_an_unknown_basis_is_refused():
    with pytest.raises(ArgumentError, match="basis"):
        SpectralForm("dht", np.ones((2, 2)))


def test_a_field_of_eigenvalues_alone_has_no_stencil_and_says_so():
    field = GMRF(SpectralForm("dct", np.full((3, 4), 4.0)))
    assert field.method == "spectral"
    assert field.logdet == pytest.approx(12 * np.log(4.0))
    with pytest.raises(StencilError, match="no stencil"):
        field.tocsr()
    with pytest.raises(StencilError, match="no stencil"):
        factorize(SpectralForm("dct", np.full((3, 4), 4.0)), "dense")


def test_draws_have_the_inverse_of_the_precision_as_covariance():
    # 40000 draws of 12 pixels; every entry's standard error is below 1/sqrt(20000) of the variances, and 7 of them
    # leave a false-alarm probability below 1e-9 over all entries. The seed is fixed.
    stencil = SymmetricStencil(FIVE, [2.3, -0.4, -0.6], (3, 4))
    draws = GMRF(stencil).sample(40000, rng=5).reshape(40000, 12)
    expected = np.linalg.inv(stencil.tocsr().toarray())
    scale = np.sqrt(np.outer(np.diagonal(expected), np.diagonal(expected)))
    assert (np.abs(draws.T @ draws / 40000 - expected) < 7.0 * scale * np.sqrt(2.0 / 40000)).all()
    assert reference.logdet(stencil.tocsr().toarray()) == pytest.approx(GMRF(stencil).logdet)


@given(diagonal_stencils(), st.floats(0.01, 100.0))
def test_a_number_on_the_diagonal_leaves_the_form_diagonal(case, number):
    form = SpectralForm.of_stencil(case.stencil).plus_diagonal(number)
    assert_allclose(form.stencil.tocsr().toarray(), case.Q + number * np.eye(len(case.Q)), rtol=1e-13, atol=1e-13)
    dense = DenseFactor(case.stencil.plus_diagonal(number))
    assert_allclose(SpectralFactor(form).logdet, dense.logdet, rtol=1e-12, atol=1e-12)
    assert form.offsets.tolist() == case.stencil.offsets.tolist()
