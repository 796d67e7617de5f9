"""Penalized-complexity prior of the share that a structured field has in the variance of a sum."""

import math
from dataclasses import dataclass

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf.priors import Prior
from sparsegmrf.typing import FloatArray

_SMALL = 1e-2
"""Size of a number up to which ``x - log(1 + x)`` is summed as a series, to rounding by its first terms."""
_TERMS = 9


@dataclass(frozen=True, eq=False)
class PCShare(Prior):
    """Prior of ``phi`` in ``(1 - phi) I + phi S``: exponential in the distance from independent pixels, ``phi = 0``.

    ``d(phi)^2 = sum_i (phi m_i - log(1 + phi m_i))``, twice the Kullback-Leibler divergence, with ``m_i = g_i - 1`` and
    the eigenvalues ``g_i`` of ``S``; ``pi(phi) = a exp(-a d) d'`` with ``a = -log(1 - p) / d(u)``: ``P(phi < u) = p``.

    Attributes
    ----------
    excess : ndarray, (n,)
        ``m``, -1 for every null vector, so that ``d`` is infinite at 1.
    u, probability : float
        A share, and how probable it is to be below.
    rate : float
        ``a``.
    """

    excess: FloatArray
    u: float
    probability: float
    rate: float

    support = (0.0, 1.0)

    def __init__(self, excess: FloatArray, u: float, probability: float) -> None:
        _frozen.assign(self, excess=excess, u=u, probability=probability)
        _frozen.assign(self, rate=-math.log1p(-probability) / math.sqrt(self._terms(u)[0]))

    def log_density(self, value: float) -> float:
        """Return ``log a - a d + log d'``."""
        square, slope, _ = self._terms(value)
        d = math.sqrt(square)
        return math.log(self.rate) - self.rate * d + math.log(0.5 * slope / d)

    def derivative(self, value: float) -> float:
        """Return ``-a d' + d'' / d'``."""
        square, slope, curvature = self._terms(value)
        return -self.rate * 0.5 * slope / math.sqrt(square) + curvature / slope - 0.5 * slope / square

    def _terms(self, phi: float) -> tuple[float, float, float]:
        """Return ``d^2`` and its first two derivatives."""
        x = phi * self.excess
        small = np.where(np.abs(x) < _SMALL, x, 0.0)
        series = np.sum([(-small) ** k / k for k in range(2, _TERMS)], axis=0)
        square = np.where(np.abs(x) < _SMALL, series, x - np.log1p(x))
        ratio = self.excess / (1.0 + x)
        return float(square.sum()), phi * float(np.sum(self.excess * ratio)), float(np.sum(ratio * ratio))
