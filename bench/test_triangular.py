"""Products and solves of a triangular whitening matrix against SciPy's CSR and a plain copy of the same bytes.

"into an array" writes to memory that exists (``out=``), as `np.copyto` does; the others make their result. The bytes of
a product are what it must move: the image once, every plane of coefficients once, the result once.
"""

import numpy as np
import pytest
import scipy.sparse.linalg

from sparsegmrf import TriangularStencil
from sparsegmrf.factors import TriangularFactor

HALF_PLANE = [(-1, -1), (-1, 0), (-1, 1), (0, -1)]
SIDES = pytest.mark.parametrize("side", [1024, 4096])
KINDS = pytest.mark.parametrize("kind", ["homogeneous", "per_pixel"])


def causal(side, kind):
    """Four causal neighbours, a contraction."""
    rng = np.random.default_rng(0)
    if kind == "homogeneous":
        return TriangularStencil(HALF_PLANE, 1.3, [0.2] * 4, (side, side))
    diagonal, *weights = rng.uniform(0.1, 0.3, (5, side, side))
    return TriangularStencil(HALF_PLANE, diagonal + 1.0, weights, (side, side))


def image(side):
    return np.random.default_rng(1).standard_normal((side, side))


def same_image_as(expected, tolerance=1e-10):
    """Return a check that a result is this image, flat or not."""

    def check(result):
        np.testing.assert_allclose(np.reshape(result, expected.shape), expected, rtol=tolerance, atol=tolerance)

    return check


def into(operation, x):
    """Return a call that writes its result to an array made beforehand."""
    result = np.empty_like(x)
    return lambda: operation(x, out=result)


def copy_of(numbers):
    """Return a call that moves as many bytes: half of them read, half written."""
    source, target = np.ones(numbers // 2), np.empty(numbers // 2)

    def call():
        np.copyto(target, source)
        return target

    return call


@SIDES
@KINDS
@pytest.mark.parametrize("member", ["sparsegmrf", "into an array", "np.copyto of the same bytes", "CSR product"])
def test_product(timed, side, kind, member):
    A, x = causal(side, kind), image(side)
    factor = TriangularFactor(A)
    check = same_image_as(factor.whiten(x))
    planes = len(HALF_PLANE) + 1 if kind == "per_pixel" else 0
    if member == "sparsegmrf":
        call = lambda: factor.whiten(x)  # noqa: E731
    elif member == "into an array":
        call = into(factor.whiten, x)
    elif member == "CSR product":
        matrix = A.tocsr()
        call = lambda: matrix @ x.ravel()  # noqa: E731
    else:
        call, check = copy_of((2 + planes) * side**2), None
    timed(f"A x, {kind}, 4 neighbours, {side}", member, call, check=check, rounds=9)


@SIDES
@KINDS
@pytest.mark.parametrize("member", ["sparsegmrf", "into an array", "spsolve_triangular"])
def test_solve(timed, side, kind, member):
    A, x = causal(side, kind), image(side)
    factor = TriangularFactor(A)
    if member == "sparsegmrf":
        call = lambda: factor.unwhiten(x)  # noqa: E731
    elif member == "into an array":
        call = into(factor.unwhiten, x)
    else:
        matrix = A.tocsr()
        call = lambda: scipy.sparse.linalg.spsolve_triangular(matrix, x.ravel())  # noqa: E731
    check = same_image_as(factor.unwhiten(x))
    timed(f"A^-1 b, {kind}, 4 neighbours, {side}", member, call, check=check, rounds=9 if "array" in member else 3)


@pytest.mark.parametrize("side", [128, 256, 512])
@pytest.mark.parametrize("member", ["sparsegmrf", "columns by solves"])
def test_marginal_variance(timed, side, member):
    factor = TriangularFactor(causal(side, "per_pixel"))
    if member == "sparsegmrf":
        timed(f"all marginal variances, {side}", member, factor.marginal_variance, rounds=3)
    elif side > 128:
        pytest.skip("a solve per pixel takes minutes beyond 128 x 128")
    else:
        expected = factor.marginal_variance()

        def by_columns():
            """``|A^-T u_p|^2`` for unit images ``u_p``, a row of the image at a time."""
            variance = np.empty((side, side))
            for i in range(side):
                units = np.zeros((side, side, side))
                units[np.arange(side), i, np.arange(side)] = 1.0
                variance[i] = np.square(factor.unwhiten_transpose(units)).sum(axis=(1, 2))
            return variance

        timed(f"all marginal variances, {side}", member, by_columns, check=same_image_as(expected), rounds=1)
