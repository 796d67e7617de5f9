"""The symbol of a stencil is its eigenvalue on a torus, and its minimum the limit of validity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil
from sparsegmrf.errors import ArgumentError, StencilError
from tests.strategies import LATER


@st.composite
def homogeneous(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    offsets = draw(st.lists(st.sampled_from(LATER), unique=True, max_size=6))
    return [(0, 0), *offsets], [rng.uniform(-1.0, 5.0), *rng.uniform(-1.0, 1.0, len(offsets))]


@given(homogeneous())
def test_symbol_at_the_frequencies_of_a_torus_is_its_spectrum(terms):
    stencil = SymmetricStencil(*terms, (7, 6), boundary="torus")
    rows, columns = np.meshgrid(2 * np.pi * np.arange(7) / 7, 2 * np.pi * np.arange(6) / 6, indexing="ij")
    found = stencil.symbol(np.stack([rows, columns], axis=-1))
    assert found.shape == (7, 6)
    expected = np.linalg.eigvalsh(stencil.tocsr().toarray())
    assert_allclose(np.sort(found.ravel()), expected, rtol=1e-9, atol=1e-9)


@given(homogeneous())
def test_min_symbol_is_reached_and_no_frequency_is_below_it(terms):
    stencil = SymmetricStencil(*terms, (3, 3))
    least = stencil.min_symbol()
    angles = np.linspace(-np.pi, np.pi, 301)
    fine = stencil.symbol(np.stack(np.meshgrid(angles, angles, indexing="ij"), axis=-1))
    assert least <= fine.min() + 1e-13
    assert fine.min() <= least + 25.0 * np.abs(terms[1]).sum() * (angles[1] - angles[0]) ** 2


def test_min_symbol_between_grid_points_has_all_digits():
    # 1 + 2 b cos w + 2 c cos 2w is least at cos w = -b / 4c, where it is 1 - 2c - b^2 / 4c.
    b, c = 0.37, 0.4
    stencil = SymmetricStencil([(0, 0), (0, 1), (0, 2)], [1.0, b, c], (1, 9))
    assert stencil.min_symbol() == pytest.approx(1.0 - 2.0 * c - b * b / (4.0 * c), abs=1e-15)


def test_symbol_near_zero_keeps_its_digits():
    stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (3, 3))
    assert stencil.symbol([1e-7, 0.0]) == pytest.approx(1e-14, rel=1e-12)


@pytest.mark.parametrize("frequencies", [0.0, [1.0, 2.0, 3.0], [[np.nan, 0.0]]])
def test_frequencies_that_are_no_pairs_are_refused(frequencies):
    with pytest.raises(ArgumentError, match="frequencies"):
        SymmetricStencil([(0, 0)], [1.0], (2, 2)).symbol(frequencies)


@pytest.mark.parametrize(
    "stencil",
    [SymmetricStencil([(0, 0)], [np.ones((2, 2))], (2, 2)), SymmetricStencil([(0, 0)], [1.0], (2, 2), channels=2)],
)
def test_a_stencil_without_a_single_symbol_is_refused(stencil):
    with pytest.raises(StencilError, match="symbol"):
        stencil.min_symbol()
