"""CSR assembly against `scipy.sparse.diags_array` and COO, and the product against SciPy's CSR product.

The competitors get their diagonals or planes prebuilt. "coo, triplets given" is the conversion alone, without making
the index arrays. Peak memory: ``python -m bench.assembly_memory``.
"""

import numpy as np
import pytest

from bench import assembly_problems as problems

SIDES = pytest.mark.parametrize("side", [1024, 4096])


def same_matrix_as(expected):
    """Return a check that a matrix has exactly these CSR arrays."""

    def check(matrix):
        for name in ("indptr", "indices", "data"):
            assert np.array_equal(getattr(matrix, name), getattr(expected, name)), f"another {name}"

    return check


def rounds(side):
    return 15 if side <= 1024 else 5


@SIDES
@pytest.mark.parametrize("member", ["sparsegmrf", "diags_array"])
def test_assembly_of_a_homogeneous_stencil(timed, side, member):
    stencil = problems.homogeneous(side)
    if member == "sparsegmrf":
        call = stencil.tocsr
    else:
        diagonals = problems.diagonals(side)
        call = lambda: problems.from_diagonals(diagonals, side)  # noqa: E731
    check = same_matrix_as(stencil.tocsr())
    timed(f"CSR of a homogeneous five-point stencil, {side}", member, call, check=check, rounds=rounds(side))


@SIDES
@pytest.mark.parametrize("member", ["sparsegmrf", "coo", "coo, triplets given"])
def test_assembly_of_a_per_pixel_stencil(timed, side, member):
    stencil = problems.per_pixel(side)
    planes = problems.planes(stencil)
    if member == "sparsegmrf":
        call = stencil.tocsr
    elif member == "coo":
        call = lambda: problems.from_triplets(*problems.triplets(*planes))  # noqa: E731
    else:
        triplets = problems.triplets(*planes)
        call = lambda: problems.from_triplets(*triplets)  # noqa: E731
    check = same_matrix_as(stencil.tocsr())
    timed(f"CSR of a per-pixel five-point stencil, {side}", member, call, check=check, rounds=rounds(side))


@SIDES
@pytest.mark.parametrize("kind", ["homogeneous", "per_pixel"])
@pytest.mark.parametrize("member", ["sparsegmrf", "CSR product"])
def test_product(timed, side, kind, member):
    stencil = getattr(problems, kind)(side)
    x = np.random.default_rng(1).standard_normal((side, side))
    expected = stencil @ x
    if member == "sparsegmrf":
        call = lambda: stencil @ x  # noqa: E731
    else:
        matrix, flat = stencil.tocsr(), x.ravel()
        call = lambda: matrix @ flat  # noqa: E731

    def check(y):
        np.testing.assert_allclose(y.reshape(side, side), expected, rtol=1e-12, atol=1e-12)

    timed(f"product of a {kind} five-point stencil, {side}", member, call, check=check, rounds=rounds(side))
