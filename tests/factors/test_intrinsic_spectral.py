"""SpectralIntrinsicFactor: the same field as with pixels deleted, and as the dense pseudo-inverse."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors.independent import IndependentForm
from sparsegmrf.factors.intrinsic_spectral import SpectralIntrinsicForm
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.fields import IntrinsicGMRF
from tests import reference
from tests.contracts import columns
from tests.intrinsic_cases import homogeneous

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def membrane(shape):
    return SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], shape, boundary="neumann")


@given(homogeneous())
def test_it_is_chosen_and_gives_the_pseudo_inverse(case):
    field = IntrinsicGMRF(case.stencil)
    factor = field.factor
    assert (field.method, factor.method) == ("spectral", "spectral")
    assert factor.rank == field.rank == len(case.positive)
    assert_allclose(factor.logdet, np.log(case.positive).sum(), **CLOSE)
    assert_allclose(columns(factor.solve, case), case.pinv, **CLOSE)
    A, B = columns(factor.whiten, case), columns(factor.unwhiten, case)
    assert_allclose(A.T @ A, case.Q, **CLOSE)
    assert_allclose(B @ B.T, case.pinv, **CLOSE)
    assert_allclose(factor.marginal_variance().ravel(), np.diagonal(case.pinv), **CLOSE)
    assert_allclose(factor.covariance_with((0, 0)).ravel(), case.pinv[:, 0], **CLOSE)
    selected = factor.selected_inverse()
    expected = reference.planes(case.pinv, selected.offsets.tolist(), factor.shape, 1, case.stencil.boundary)
    for k in range(len(selected.offsets)):
        assert_allclose(selected.plane(k), expected[k, ..., 0, 0], **CLOSE)


@given(homogeneous())
def test_density_is_that_of_the_field_with_a_pixel_deleted(case):
    x = case.images(2)
    spectral, pinned = IntrinsicGMRF(case.stencil), IntrinsicGMRF(case.stencil, method="dense")
    assert pinned.method == "dense"
    assert_allclose(spectral.logpdf(x), pinned.logpdf(x), **CLOSE)
    assert_allclose(spectral.project(x), pinned.project(x), **CLOSE)
    assert_allclose(spectral.entropy(), pinned.entropy(), **CLOSE)


def test_a_form_that_is_no_stencil_will_do():
    frequencies = [np.pi * np.arange(side) / side for side in (6, 5)]
    g = sum(np.meshgrid(*(4 * np.sin(w / 2) ** 2 for w in frequencies), indexing="ij"))
    field = IntrinsicGMRF(SpectralForm("dct", g**1.5), mean=2.0)
    assert_allclose(field.logdet, 1.5 * IntrinsicGMRF(membrane((6, 5))).logdet, rtol=1e-12)
    assert field.sample(3, rng=0).mean(axis=(1, 2)) == pytest.approx(2.0, abs=1e-12)
    assert field.scaled().geometric_mean_variance() == pytest.approx(1.0, rel=1e-12)


def test_other_null_spaces_and_methods_leave_the_form():
    form = SpectralForm.of_stencil(membrane((4, 5)))
    for field in (IntrinsicGMRF(form, method="dissection"), IntrinsicGMRF(form, np.ones((4, 5)))):
        assert field.method == "dissection"
        assert_allclose(field.logdet, IntrinsicGMRF(form).logdet, rtol=1e-12)


def test_scaled_field_is_still_spectral_and_has_a_stencil():
    field = IntrinsicGMRF(membrane((7, 4))).scaled()
    assert field.method == "spectral"
    assert field.geometric_mean_variance() == pytest.approx(1.0, rel=1e-12)
    dense = IntrinsicGMRF(field.precision, method="dense")
    assert dense.geometric_mean_variance() == pytest.approx(1.0, rel=1e-9)


def test_it_may_be_a_member_of_independent_fields():
    form = SpectralIntrinsicForm(SpectralForm.of_stencil(membrane((4, 5))))
    other = SymmetricStencil([(0, 0), (0, 2)], [3.0, -1.0], (4, 5))
    combined = IndependentForm([form, other])
    assert_allclose(combined.stencil.plane(0)[..., 0, 0], membrane((4, 5)).plane(0))


def test_forms_without_constants_in_the_null_space_are_refused():
    with pytest.raises(ArgumentError, match=r"^null_space must be sent to zero .* eigenvalue 0.1"):
        IntrinsicGMRF(SpectralForm("dct", np.full((4, 5), 0.1)))
    with pytest.raises(ArgumentError, match=r"cut off at a border"):
        IntrinsicGMRF(SpectralForm("dst", np.ones((4, 5))))
    negative = np.ones((4, 5))
    negative[0, 0], negative[2, 1] = 0.0, -1.0
    with pytest.raises(NotPositiveDefiniteError, match=r"eigenvalue -1"):
        _ = IntrinsicGMRF(SpectralForm("dct", negative)).logdet
