"""Variance of the lattice field ``(kappa^2 + G)^alpha`` without borders: what makes sigma a standard deviation."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial.legendre import legval

from sparsegmrf import _threads
from sparsegmrf.typing import FloatArray

Numbers = npt.NDArray[Any]  # real or complex

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_BLOCK = 2**12
_TINY = 1e-20
_EPS = float(np.finfo(np.float64).eps)


def lattice_variance(kappa2: Numbers, conductances: Numbers, alpha: float) -> Numbers:
    """Return the mean over frequencies of ``(kappa^2 + g)^-alpha``.

    ``g = rho_0 s(x) + rho_1 s(y) + rho_2 s(x + y) + rho_3 s(x - y)`` with ``s(x) = 4 sin^2(x/2)``. Three offsets of an
    obtuse superbase are an integer basis and its sum, and the mean over the torus does not change with the basis. In
    ``y`` it is Laplace's integral,
    ``mean_y (c - 2 r cos y)^-alpha = (c^2 - 4 r^2)^(-alpha/2) P_{alpha-1}(c / sqrt(c^2 - 4 r^2))``
    with a Legendre polynomial; in ``x`` Gauss-Legendre with ``x = m sinh u``, which resolves the peak of width
    ``m = kappa sqrt((rho_1 + rho_2 + rho_3) / det H)`` at any range. For small kappa it approaches
    ``1 / (4 pi nu kappa^(2 nu) sqrt(det H))``, ``H = sum_e rho_e e e^T``; one over the root is the area of a pixel.

    Parameters
    ----------
    kappa2 : ndarray, (...)
        ``kappa^2`` in the unit of the conductances; complex if `alpha` is 1 or 2, off the negative real line.
    conductances : ndarray, (..., 4)
        Along the first axis, the second, and the two diagonals; complex as `kappa2`, with ``g`` near the real line.
    alpha : float
        Exponent of the precision, a whole number.
    """
    return _mean(kappa2, conductances, alpha)


def derivative_by_kappa2(kappa2: Numbers, conductances: Numbers, alpha: float) -> Numbers:
    """Return the derivative of `lattice_variance` by ``kappa^2``."""
    return -alpha * _mean(kappa2, conductances, alpha + 1.0)


def derivative_along(kappa2: Numbers, conductances: FloatArray, direction: FloatArray, alpha: float) -> Numbers:
    """Return the derivative of `lattice_variance` by a step of the conductances in a direction.

    By a complex step, ``Im v(rho + i h d) / h``, as the mean is analytic in the conductances: no digits cancel. With an
    exponent of 1, where kappa may be complex, by the derivative of ``(c^2 - 4 r^2)^(-1/2)``.
    """
    if alpha == 1.0:
        return _mean(kappa2, conductances, alpha, direction)
    return np.asarray(_mean(kappa2, conductances + _TINY * 1j * direction, alpha).imag / _TINY)


def _mean(kappa2: Numbers, conductances: Numbers, alpha: float, direction: FloatArray | None = None) -> Numbers:
    """Return the mean of ``(kappa^2 + g)^-alpha``, or its derivative along a direction with an exponent of 1."""
    shape = np.broadcast_shapes(np.shape(kappa2), conductances.shape[:-1])
    flat = np.broadcast_to(kappa2, shape).reshape(-1, 1)
    rho = np.broadcast_to(conductances, (*shape, 4)).reshape(-1, 4)
    along = None if direction is None else np.broadcast_to(direction, (*shape, 4)).reshape(-1, 4)
    result = np.empty(len(flat), dtype=np.result_type(flat, rho))

    def fill(first: int, last: int) -> None:
        by = None if along is None else along[first:last]
        result[first:last] = _block(flat[first:last], rho[first:last], alpha, by)

    _threads.run_over(fill, len(flat), _BLOCK)
    return result.reshape(shape)


def _block(kappa2: Numbers, rho: Numbers, alpha: float, direction: FloatArray | None) -> Numbers:
    across, along, one, other = (rho[:, [i]] for i in range(4))
    total = along + one + other
    terms = np.stack([across * total, along * (one + other), 4.0 * one * other])
    rounding = _EPS * np.abs(terms).sum(axis=0)
    determinant = np.maximum(np.abs(terms.sum(axis=0)), rounding)
    m = np.sqrt(np.abs(kappa2 * total) / determinant)
    end = np.arcsinh(np.pi / m)
    u = (_NODES + 1.0) / 2.0 * end
    x = m * np.sinh(u)
    s = 4.0 * np.sin(x / 2.0) ** 2
    lost = along * (one + other) * s + one * other * s * (4.0 - s)  # total^2 - r^2
    r = np.sqrt((along + (one + other) * (1.0 - s / 2.0)) ** 2 + (one - other) ** 2 * s * (1.0 - s / 4.0))
    low = kappa2 + across * s + 2.0 * lost / (total + r)  # c - 2 r
    root = np.sqrt(low) * np.sqrt(low + 4.0 * r)  # each by itself: c may be complex, with a negative real part
    if direction is None:
        values = root**-alpha * _legendre(alpha - 1.0, (low + 2.0 * r) / root)
    else:
        d_across, d_along, d_one, d_other = (direction[:, [i]] for i in range(4))
        d_diagonals = d_one + d_other
        d_lost = d_along * (one + other) * s + along * d_diagonals * s + (d_one * other + one * d_other) * s * (4.0 - s)
        moved = (low + 2.0 * r) * d_across * s + 2.0 * (kappa2 + across * s) * (d_along + d_diagonals) + 2.0 * d_lost
        values = -moved / root**3
    mean: Numbers = (values * _WEIGHTS * m * np.cosh(u)).sum(axis=1) * end[:, 0] / (2.0 * np.pi)
    return mean


def _legendre(degree: float, z: Numbers) -> Numbers:
    """Return ``P_degree(z)``, the degree being a whole number."""
    if degree in (0.0, 1.0):
        return np.asarray(z**degree)
    return np.asarray(legval(z, np.eye(round(degree) + 1)[-1]))
