"""The density of working parameters given the observations, as what integrates it asks for it."""

from typing import Protocol

import numpy as np

from sparsegmrf._interval import Interval
from sparsegmrf.inference._linear_predictions import LinearPredictions
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._problem import Problem
from sparsegmrf.typing import BoolArray, FloatArray

DEPTH = 7.0
"""Nats below the mode down to which a density is looked at: a plateau there has less than a thousandth of it a unit."""


class LogPosterior(Protocol):
    """Log-density of working parameters, coefficients of the trend integrated out with a flat density.

    Attributes
    ----------
    names : list of str
        Parameters, in the order of the numbers.
    mode : ndarray, (K,)
        Numbers at which it is largest.
    """

    @property
    def problem(self) -> Problem:
        """What was fitted."""

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""

    @property
    def mode(self) -> FloatArray:
        """Where the density is largest."""

    @property
    def without_prior(self) -> list[str]:
        """Parameters without a prior, whose working numbers have a flat one."""

    @property
    def joint(self) -> frozenset[str]:
        """Parameters that are valid in a joint region, of which no working number is one's own."""

    @property
    def evaluations(self) -> int:
        """Densities evaluated so far."""

    def information(self) -> FloatArray:
        """Return minus the Hessian at the mode."""

    def value(self, at: FloatArray) -> float:
        """Return the log-density in nats, minus infinity where it cannot be evaluated."""

    def gradient_and_information(self, at: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return the log-density, its gradient, and what stands for minus the Hessian."""

    def values_at(self, at: FloatArray) -> list[float]:
        """Return the parameters at working parameters."""

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return the derivatives of the parameters (rows) by their working parameters (columns)."""

    def intervals(self, at: FloatArray) -> list[Interval]:
        """Return by parameter its interval, the others held."""

    def working(self, values: FloatArray, joint: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return working parameters ``(..., K)`` of which some are given by their parameters, and ``log |dv/du|``."""

    def predict(self, at: FloatArray, count: int, stream: np.random.Generator) -> Prediction:
        """Return what is known of pixels with parameters known, the trend estimated, and some draws."""

    def fit_at(self, at: FloatArray) -> LinearPredictions:
        """Return the fit whose estimates are the working parameters."""
