"""Variance of the lattice field ``(kappa^2 + G)^alpha`` without borders: what makes sigma a standard deviation."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import eval_legendre, hyp2f1

from sparsegmrf import _threads
from sparsegmrf.typing import FloatArray

Numbers = npt.NDArray[Any]  # real or complex

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_BLOCK = 2**12


def lattice_variance(kappa2: Numbers, triples: FloatArray, alpha: float) -> Numbers:
    """Return the mean over frequencies of ``(kappa^2 + g)^-alpha``, ``g = rho_0 s(x) + rho_1 s(y) + rho_2 s(x + y)``.

    ``s(x) = 4 sin^2(x/2)``. Three offsets of an obtuse superbase are an integer basis and its sum, and the mean over
    the torus does not change with the basis. In ``y`` it is Laplace's integral,
    ``mean_y (c - 2 r cos y)^-alpha = (c^2 - 4 r^2)^(-alpha/2) P_{alpha-1}(c / sqrt(c^2 - 4 r^2))``
    with a Legendre function; in ``x`` Gauss-Legendre with ``x = m sinh u``, which resolves the peak of width
    ``m = kappa sqrt(rho_1 + rho_2)`` at any range. For small kappa it approaches ``1 / (4 pi nu kappa^(2 nu))``.

    Parameters
    ----------
    kappa2 : ndarray, (...)
        ``kappa^2`` in 1/pixel^2; complex with a positive real part if `alpha` is 1 or 2.
    triples : ndarray, (..., 3)
        Conductances.
    alpha : float
        Exponent of the precision.
    """
    return _mean(kappa2, triples, alpha, False)


def derivative_by_kappa2(kappa2: Numbers, triples: FloatArray, alpha: float) -> Numbers:
    """Return the derivative of `lattice_variance` by ``kappa^2``."""
    return -alpha * _mean(kappa2, triples, alpha + 1.0, False)


def derivative_by_conductance(kappa2: Numbers, triples: FloatArray, alpha: float, which: int) -> Numbers:
    """Return the derivative of `lattice_variance` by one of the three conductances."""
    return -alpha * _mean(kappa2, np.roll(triples, -which, axis=-1), alpha + 1.0, True)


def _mean(kappa2: Numbers, triples: FloatArray, alpha: float, weighted: bool) -> Numbers:
    """Return the mean of ``(kappa^2 + g)^-alpha``, times ``s(x)`` of the first conductance if `weighted`."""
    shape = np.broadcast_shapes(np.shape(kappa2), triples.shape[:-1])
    flat = np.broadcast_to(kappa2, shape).reshape(-1, 1)
    rho = np.broadcast_to(triples, (*shape, 3)).reshape(-1, 3)
    result = np.empty(len(flat), dtype=flat.dtype)

    def fill(first: int, last: int) -> None:
        result[first:last] = _block(flat[first:last], rho[first:last], alpha, weighted)

    _threads.run_over(fill, len(flat), _BLOCK)
    return result.reshape(shape)


def _block(kappa2: Numbers, rho: FloatArray, alpha: float, weighted: bool) -> Numbers:
    first, second, third = (rho[:, [i]] for i in range(3))
    m = np.sqrt(np.abs(kappa2) * (second + third))
    end = np.arcsinh(np.pi / m)
    u = (_NODES + 1.0) / 2.0 * end
    x = m * np.sinh(u)
    s = 4.0 * np.sin(x / 2.0) ** 2
    r = np.sqrt((second + third) ** 2 - second * third * s)
    low = kappa2 + first * s + 2.0 * second * third * s / (second + third + r)  # c - 2 r
    root = np.sqrt(low * (low + 4.0 * r))
    inner = root**-alpha * _legendre(alpha - 1.0, (low + 2.0 * r) / root)
    values = inner * s if weighted else inner
    total: Numbers = (values * _WEIGHTS * m * np.cosh(u)).sum(axis=1) * end[:, 0] / (2.0 * np.pi)
    return total


def _legendre(degree: float, z: Numbers) -> Numbers:
    """Return ``P_degree(z)``, ``z >= 1`` unless the degree is 0 or 1."""
    if degree in (0.0, 1.0):
        return np.asarray(z**degree)
    if degree == round(degree):
        return np.asarray(eval_legendre(round(degree), z))
    return np.asarray(hyp2f1(-degree, degree + 1.0, 1.0, (1.0 - z) / 2.0))
