"""Fractional powers as sums of Markov fields: poles and weights, and how they move."""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from sparsegmrf.models._lattice_variance import lattice_variance
from sparsegmrf.typing import FloatArray

Numbers = npt.NDArray[Any]  # real or complex

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_STEPS = 50
_HOLD = 1e-6
"""What a pole or weight that says next to nothing weighs, so that the rule is one, and moves smoothly."""
_LEAST = 30.0
_LARGEST_EIGENVALUE = 8.0
"""Of the Laplacian of four neighbours."""
_MIXED, _MIXED_WEIGHTS = np.polynomial.legendre.leggauss(16)


class Rule(NamedTuple):
    """``m^-alpha`` about ``sum_i r_i / (m^n (m + p_i))``, ``n = floor(alpha)``, and how that moves.

    Attributes
    ----------
    poles, weights : ndarray, (J,)
        ``p_i``, increasing, and ``r_i``, all positive.
    by_alpha, by_end : (ndarray, ndarray), (J,) each
        Derivatives of both by ``alpha`` and by the logarithm of the largest ``m``.
    """

    poles: FloatArray
    weights: FloatArray
    by_alpha: tuple[FloatArray, FloatArray]
    by_end: tuple[FloatArray, FloatArray]


def largest_frequency(kappa2: float) -> float:
    """Return up to which ``m = 1 + g / kappa^2`` a power is approximated: what the lattice has, and no less than 30."""
    return _LEAST + _LARGEST_EIGENVALUE / kappa2


@lru_cache(maxsize=1024)
def rule(alpha: float, terms: int, end: float) -> Rule:
    """Return the rule that is nearest in ``integral (1 - m^s sum_i r_i / (m + p_i))^2 m^-alpha dm``, ``m < e^end``.

    ``m >= 1``, ``s = alpha - n``, and ``m^-alpha`` is the share of a frequency in the variance. ``m^-s`` is an
    integral of ``1 / (m + p)`` over positive weights, so that the best of these sums has positive poles and weights:
    every term is a Markov field; where they say next to nothing they are held. Logarithms of both are found by least
    squares and Newton's method, to rounding, and their derivatives by the implicit function theorem.

    References
    ----------
    D. Bolin, A. Simas, Z. Xiong (2023), Covariance-based rational approximations of fractional SPDEs for
    computationally efficient Bayesian inference, Journal of Computational and Graphical Statistics 33, who take
    rational functions of the same kind that are best in the maximum norm.
    """
    s = alpha - np.floor(alpha)
    along = (_NODES + 1.0) / 2.0  # of a node, as its frequency moves with the end
    u = along * end
    m, root = np.exp(u), np.sqrt(_WEIGHTS * np.exp(u * (1.0 - alpha)))
    ratio = root * m**s

    def parts(at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the terms over the power, and ``p / (m + p)``, ``(K, J)``."""
        poles, weights = np.exp(at[:terms]), np.exp(at[terms:])
        below = m[:, np.newaxis] + poles
        return ratio[:, np.newaxis] * weights / below, poles / below

    reference = np.concatenate([np.linspace(-1.0, 8.0, terms), np.zeros(terms)])

    def residual(at: FloatArray) -> FloatArray:
        return np.concatenate([root - parts(at)[0].sum(axis=1), _HOLD * (at - reference)])

    def jacobian(at: FloatArray) -> FloatArray:
        a, q = parts(at)
        return np.concatenate([np.concatenate([a * q, -a], axis=1), _HOLD * np.eye(2 * terms)])

    def stationarity(at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the gradient of half the sum of squares, and its Hessian."""
        (a, q), J, r = parts(at), jacobian(at), residual(at)
        H, own, other = J.T @ J, np.arange(terms), np.arange(terms, 2 * terms)
        seen = r[: len(root)]
        H[own, own] += seen @ (a * q * (1.0 - 2.0 * q))
        H[own, other] += seen @ (a * q)
        H[other, own] += seen @ (a * q)
        H[other, other] -= seen @ a
        return J.T @ r, H

    log_poles = np.linspace(-3.0, end + 2.0, terms + 2)[1:-1] + 2.0 * (0.5 - s)
    matrix = ratio[:, np.newaxis] / (m[:, np.newaxis] + np.exp(log_poles))
    first = np.maximum(np.linalg.lstsq(matrix, root, rcond=None)[0], 1e-3)
    start = np.concatenate([log_poles, np.log(first)])
    at = least_squares(residual, start, jacobian, xtol=1e-13, ftol=1e-15, gtol=1e-13, max_nfev=500).x
    order = np.argsort(at[:terms])
    at = np.concatenate([at[:terms][order], at[terms:][order]])
    gradient, hessian = stationarity(at)
    for _ in range(_STEPS):
        nearer = at - np.linalg.solve(hessian, gradient)
        left, curved = stationarity(nearer)
        if not np.abs(left).max() < np.abs(gradient).max():
            break
        at, gradient, hessian = nearer, left, curved
    (a, q), J, r = parts(at), jacobian(at)[: len(root)], residual(at)[: len(root)]
    poles, weights = np.exp(at[:terms]), np.exp(at[terms:])

    def moved(d_root: FloatArray, log_a: FloatArray, d_q: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Return how poles and weights move when the power, the logarithms of the terms and the shares do."""
        d_J = np.concatenate([a * (log_a * q + d_q), -a * log_a], axis=1)
        step = -np.linalg.solve(hessian, d_J.T @ r + J.T @ (d_root - (a * log_a).sum(axis=1)))
        return poles * step[:terms], weights * step[terms:]

    half = (0.5 * u)[:, np.newaxis]
    ahead = along[:, np.newaxis]
    return Rule(
        poles,
        weights,
        moved(-0.5 * u * root, half, 0.0),
        moved(0.5 * (1.0 - alpha) * along * root, ahead * (0.5 * (1.0 - alpha) + s - 1.0 + q), -ahead * q * (1.0 - q)),
    )


def variance_of_term(kappa2: Numbers, conductances: Numbers, pole: Numbers, n: int) -> Numbers:
    """Return the mean over frequencies of ``K^-n (K + kappa^2 p)^-1``, ``K = kappa^2 + g``; see `lattice_variance`.

    By partial fractions, ``f_n = (v_n - f_{n-1}) / (kappa^2 p)``, which loses digits where ``p`` is small; there by
    Feynman's integral ``n integral t^(n-1) (K + (1 - t) kappa^2 p)^-(n+1) dt``.
    """
    shift = kappa2 * pole
    if np.real(pole) < 1.0:
        t = (_MIXED + 1.0) / 2.0
        shifted = kappa2[..., np.newaxis] + (1.0 - t) * shift[..., np.newaxis]
        values = lattice_variance(shifted, conductances[..., np.newaxis, :], n + 1.0)
        return np.asarray(values @ (_MIXED_WEIGHTS / 2.0 * n * t ** (n - 1)))
    found = lattice_variance(kappa2 + shift, conductances, 1.0)
    for power in range(1, n + 1):
        found = (lattice_variance(kappa2, conductances, float(power)) - found) / shift
    return found
