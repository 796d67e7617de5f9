"""IndependentFactor: the contract over fields stacked per pixel, and what it refuses."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, factorize
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import DenseFactor, IndependentFactor
from sparsegmrf.factors._null_space import NullSpace
from sparsegmrf.factors.independent import IndependentForm
from sparsegmrf.factors.intrinsic import IntrinsicForm
from sparsegmrf.factors.spectral import SpectralForm
from tests import reference, strategies
from tests.contracts import symmetric_factor_contract

FIVE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (4, 5))
NO_FLUX = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (4, 5), boundary="neumann")
WIDE = SymmetricStencil([(0, 0), (0, 2), (1, 1)], [5.0, -1.0, 0.5], (4, 5))


@dataclass(frozen=True)
class Stacked:
    """Fields on one lattice as one block stencil, with the oracle of its dense matrix."""

    stencil: SymmetricStencil
    members: tuple
    seed: int

    @property
    def Q(self):
        return interleaved([member.stencil.tocsr().toarray() for member in self.members])

    @property
    def channels(self):
        return len(self.members)

    @property
    def shape(self):
        return self.stencil.shape

    @property
    def offsets(self):
        return [tuple(offset) for offset in self.stencil.offsets.tolist()]

    @property
    def boundary(self):
        return self.stencil.boundary

    @property
    def image_shape(self):
        return self.stencil.lattice.image_shape

    def flipped(self, axis):
        return stacked_case([member.flipped(axis) for member in self.members], self.seed)

    def transposed(self):
        return stacked_case([member.transposed() for member in self.members], self.seed)

    def images(self, *batch):
        return np.random.default_rng(self.seed + 1).standard_normal((*batch, *self.image_shape))


def interleaved(matrices):
    """Block-diagonal over fields, in pixel-major order."""
    n, channels = len(matrices[0]), len(matrices)
    Q = np.zeros((n, channels, n, channels))
    for c, matrix in enumerate(matrices):
        Q[:, c, :, c] = matrix
    return Q.reshape(n * channels, n * channels)


def stacked_case(members, seed):
    return Stacked(IndependentForm([member.stencil for member in members]).stencil, tuple(members), seed)


@st.composite
def stacks(draw):
    first = draw(strategies.symmetric_stencils(largest=4, channels=(1,), boundaries=("dirichlet", "neumann")))
    rest = draw(
        st.lists(
            strategies.symmetric_stencils(largest=4, channels=(1,), boundaries=("dirichlet", "neumann")), max_size=2
        )
    )
    fitting = [first, *(each for each in rest if each.shape == first.shape)]
    return stacked_case(fitting, first.seed)


def apart(stencil):
    """Take a block stencil with diagonal blocks apart again, so that the contract needs the stencil alone."""
    if stencil.channels == 1:
        return IndependentFactor([DenseFactor(stencil)])
    parts = []
    for c in range(stencil.channels):
        planes = [stencil.plane(k)[..., c, c] for k in range(len(stencil.offsets))]
        parts.append(SymmetricStencil(stencil.offsets, planes, stencil.shape))
    return IndependentFactor([DenseFactor(part) for part in parts])


TestContract = symmetric_factor_contract(apart, stacks())


@given(stacks())
def test_form_stacks_the_fields_and_its_factor_is_that_of_the_blocks(case):
    assert_allclose(case.stencil.tocsr().toarray(), case.Q, rtol=1e-12, atol=1e-12)
    factor = factorize(IndependentForm([member.stencil for member in case.members]))
    blocks = DenseFactor(case.stencil)
    assert_allclose(factor.logdet, blocks.logdet, rtol=1e-9, atol=1e-9)
    x = case.images(2)
    assert_allclose(factor.solve(x), blocks.solve(x), rtol=1e-9, atol=1e-9)
    ours, theirs = factor.selected_inverse(), blocks.selected_inverse()
    assert np.array_equal(ours.offsets, theirs.offsets)
    for k in range(len(ours.offsets)):
        assert_allclose(ours.plane(k), theirs.plane(k), rtol=1e-9, atol=1e-9)


def test_each_field_takes_its_own_method():
    factor = factorize(IndependentForm([FIVE, WIDE]))
    assert [part.method for part in factor.factors] == ["spectral", "dissection"]
    assert factor.nbytes == sum(part.nbytes for part in factor.factors)


def test_spectral_and_intrinsic_fields_may_be_members():
    form = SpectralForm.of_stencil(FIVE)
    intrinsic = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (4, 5), boundary="neumann")
    factor = factorize(IndependentForm([form, WIDE, IntrinsicForm(intrinsic, NullSpace.of(intrinsic))]))
    assert factor.rank == 20 + 20 + 19
    dense = [
        np.linalg.inv(FIVE.tocsr().toarray()),
        np.linalg.inv(WIDE.tocsr().toarray()),
        reference.pseudo_inverse(intrinsic.tocsr().toarray(), 1),
    ]
    assert_allclose(factor.solve(np.eye(60).reshape(60, 4, 5, 3)).reshape(60, 60), interleaved(dense), atol=1e-10)
    selected = factor.selected_inverse()
    assert len(selected.offsets) == 5
    k = selected.offsets.tolist().index([0, 2])
    for c, covariance in enumerate(dense):
        assert_allclose(selected.plane(k)[0, 0, c, c], covariance[0, 2], atol=1e-10)


def test_one_boundary_is_kept_and_several_are_cut_off():
    assert IndependentForm([NO_FLUX, NO_FLUX]).stencil.boundary == "neumann"
    mixed = IndependentForm([NO_FLUX, FIVE]).stencil
    assert mixed.boundary == "dirichlet"
    expected = interleaved([NO_FLUX.tocsr().toarray(), FIVE.tocsr().toarray()])
    assert_allclose(mixed.tocsr().toarray(), expected, atol=1e-14)


def test_fields_that_do_not_go_together_are_refused():
    torus = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (4, 5), boundary="torus")
    other = SymmetricStencil([(0, 0)], [1.0], (5, 4))
    with pytest.raises(ArgumentError, match=r"^members must hold at least one"):
        IndependentForm([])
    with pytest.raises(ArgumentError, match=r"^members must have one unknown per pixel on one lattice"):
        IndependentForm([FIVE, other])
    with pytest.raises(ArgumentError, match=r"^members must wrap along the same axes"):
        IndependentForm([FIVE, torus])
    with pytest.raises(ArgumentError, match=r"^factors must hold at least one"):
        IndependentFactor([])
    with pytest.raises(ArgumentError, match=r"^factors must have one unknown"):
        IndependentFactor([DenseFactor(FIVE), DenseFactor(other)])
    with pytest.raises(ArgumentError, match=r"^factors must know the covariances on the same offsets"):
        IndependentFactor([DenseFactor(FIVE), DenseFactor(WIDE)]).selected_inverse()
