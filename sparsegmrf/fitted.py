"""What every fit of a field returns."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from sparsegmrf.gmrf import GMRF
from sparsegmrf.typing import Shape


class Fitted(ABC):
    """Estimates, the likelihood they reach, and the field they make.

    A subclass is a frozen dataclass with at least the fields below. Where a search found the estimates it also has
    ``converged``, whether they are a maximum, and ``reason``, why the search ended.

    Attributes
    ----------
    model : object
        The model at the estimates.
    loglik : float
        Log-likelihood of the observations in nats.
    n_observed : int
        Number of observations, whose logarithm `bic` takes.
    """

    model: Any
    loglik: float
    n_observed: int

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Number of estimated parameters ``k``."""

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors by parameter; empty where parameters have no names."""
        return {}

    @property
    def aic(self) -> float:
        """Akaike's criterion ``2 k - 2 loglik``; smaller is better, on the same observations (see `compare_fits`)."""
        return akaike(self._maximal_loglik("aic"), self.n_parameters)

    @property
    def bic(self) -> float:
        """Schwarz's criterion ``k log n_observed - 2 loglik``; smaller is better, on the same observations."""
        return schwarz(self._maximal_loglik("bic"), self.n_parameters, self.n_observed)

    @abstractmethod
    def gmrf(self, shape: Shape | None = None) -> GMRF:
        """Return the field at the estimates with its mean, by default on the shape of what it was fitted to."""

    @abstractmethod
    def summary(self) -> str:
        """Return the estimates and the fit's figures as text."""

    def _maximal_loglik(self, criterion: str) -> float:
        """Return `loglik`; a fit that has not maximized it refuses the criterion instead."""
        return self.loglik


def akaike(loglik: float, n_parameters: int) -> float:
    """Return ``2 k - 2 loglik``."""
    return 2.0 * n_parameters - 2.0 * loglik


def schwarz(loglik: float, n_parameters: int, n_observed: float) -> float:
    """Return ``k log n - 2 loglik``."""
    return n_parameters * float(np.log(n_observed)) - 2.0 * loglik
