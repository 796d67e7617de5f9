"""Polynomials of a stencil and their derivatives."""

from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.product import diagonal_stencil, power, power_derivative
from sparsegmrf.typing import FloatArray


def polynomial(M: SymmetricStencil, coefficients: FloatArray) -> SymmetricStencil:
    """Return ``sum_j c_j M^j``."""
    powers = [diagonal_stencil(1.0, M), *(power(M, j) for j in range(1, len(coefficients)))]
    return SymmetricStencil._combination(coefficients.tolist(), powers)


def polynomial_derivative(M: SymmetricStencil, E: SymmetricStencil, coefficients: FloatArray) -> SymmetricStencil:
    """Return the derivative of the polynomial in the direction ``E``."""
    terms = [power_derivative(M, E, j) for j in range(1, len(coefficients))]
    return SymmetricStencil._combination(coefficients[1:].tolist(), terms)
