"""Powers of a stencil and their derivatives; fractional ones by the parsimonious polynomial."""

import math

import numpy as np
import numpy.typing as npt

from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.product import diagonal_stencil, power, power_derivative
from sparsegmrf.typing import FloatArray

ComplexArray = npt.NDArray[np.complex128]


def parsimonious(alpha: float) -> FloatArray:
    """Return ``c_0 ... c_p``, ``p = ceil(alpha)``, with ``m^alpha`` about ``sum_j c_j m^j`` for ``m >= 1``.

    For a fractional exponent they minimize
    ``integral_0^inf (m^alpha - sum_j c_j m^j)^2 m^(-2p - 1 - theta) dk^2``, ``m = 1 + k^2``, with
    ``theta = alpha - floor(alpha)``: with ``u = 1/m`` a linear system of Hilbert's kind,
    ``sum_j c_j / (x_i - j) = 1 / (x_i - alpha)``, ``x_i = theta + 2 p - i``, solved in closed form as a Cauchy matrix:
    the system is too ill-conditioned for elimination.

    References
    ----------
    F. Lindgren, H. Rue, J. Lindstrom (2011), An explicit link between Gaussian fields and Gaussian Markov random
    fields, JRSS B 73, authors' response to the discussion.
    """
    p, theta = math.ceil(alpha), alpha - math.floor(alpha)
    j = np.arange(p + 1.0)
    x, itself = theta + 2 * p - j, np.eye(p + 1, dtype=bool)
    # c_j = prod_{k != j} (alpha - k) / (j - k) * prod_i (x_i - j) / (x_i - alpha)
    others = np.where(itself, 1.0, (alpha - j) / np.where(itself, 1.0, j[:, np.newaxis] - j))
    return np.asarray(others.prod(axis=1) * ((x - j[:, np.newaxis]) / (x - alpha)).prod(axis=1))


def polynomial(M: SymmetricStencil, coefficients: FloatArray) -> SymmetricStencil:
    """Return ``sum_j c_j M^j``."""
    powers = [diagonal_stencil(1.0, M), *(power(M, j) for j in range(1, len(coefficients)))]
    return SymmetricStencil._combination(coefficients.tolist(), powers)


def polynomial_derivative(M: SymmetricStencil, E: SymmetricStencil, coefficients: FloatArray) -> SymmetricStencil:
    """Return the derivative of the polynomial in the direction ``E``."""
    terms = [power_derivative(M, E, j) for j in range(1, len(coefficients))]
    return SymmetricStencil._combination(coefficients[1:].tolist(), terms)


def partial_fractions(coefficients: FloatArray) -> tuple[ComplexArray, ComplexArray]:
    """Return roots ``r_i`` and numbers ``w_i``, complex, with ``1 / sum_j c_j m^j = sum_i w_i / (m - r_i)``."""
    roots = np.roots(coefficients[::-1]).astype(np.complex128)
    differences = roots[:, np.newaxis] - roots + np.eye(len(roots))
    return roots, 1.0 / (coefficients[-1] * differences.prod(axis=1))
