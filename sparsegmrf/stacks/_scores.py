"""Scores of Gaussian predictions with standard errors, where those of one date depend on each other."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsegmrf.inference._scores import crps, half_width, log_score
from sparsegmrf.typing import FloatArray

_LEVELS = {"coverage_90": 0.9, "coverage_95": 0.95}
NAMES = ("rmse", "crps", "log_score", *_LEVELS)
"""Of the scores."""
TITLES = f"{'n':>9}{'RMSE':>20}{'CRPS':>20}{'log score':>20}{'90% cover':>18}{'95% cover':>18}"
"""Of the columns of `StackScores.row`."""


@dataclass(frozen=True)
class StackScores:
    """Means of scores over predicted observations, and their standard errors.

    What one cloud, or one date, has of errors is one error many times: dates count as independent, pixels do not. The
    standard error of a mean is the linearized one of a ratio of sums over dates, NaN of a single date.

    Attributes
    ----------
    count, dates : int
        Predicted observations, and the dates they are of.
    rmse, crps : float
        In intensity.
    log_score : float
        Negative log-density, in nats.
    coverage_90, coverage_95 : float
        Share of observations within their central intervals of these probabilities.
    standard_errors : dict of float
        Of the five, by name.
    """

    count: int
    dates: int
    rmse: float
    crps: float
    log_score: float
    coverage_90: float
    coverage_95: float
    standard_errors: dict[str, float]

    @classmethod
    def of(cls, y: FloatArray, mean: FloatArray, std: FloatArray, days: FloatArray) -> "StackScores":
        """Return the scores of predictions ``(N,)`` of observations at some days."""
        means, errors = {}, {}
        for name, values in _each(y, mean, std):
            means[name], errors[name] = mean_by_date(values, days)
        root = float(np.sqrt(means["rmse"]))
        means["rmse"] = root
        errors["rmse"] = errors["rmse"] / (2.0 * root) if root > 0.0 else float("nan")
        return cls(len(y), len(np.unique(days)), **means, standard_errors=errors)

    def row(self) -> str:
        """Return the scores with their standard errors as a line under `TITLES`."""
        widths = {"rmse": 20, "crps": 20, "log_score": 20, "coverage_90": 18, "coverage_95": 18}
        found = f"{self.count:9d}"
        for name, width in widths.items():
            value, error = getattr(self, name), self.standard_errors[name]
            digits = ".3f" if name.startswith("coverage") else ".4g"
            text = f"{value:{digits}}" + (f" +- {error:.2g}" if np.isfinite(error) else "")
            found += f"{text:>{width}}"
        return found


def _each(y: FloatArray, mean: FloatArray, std: FloatArray) -> Iterator[tuple[str, FloatArray]]:
    yield "rmse", (y - mean) ** 2
    yield "crps", crps(y, mean, std)
    yield "log_score", log_score(y, mean, std)
    for name, level in _LEVELS.items():
        yield name, (np.abs(y - mean) <= half_width(level) * std).astype(np.float64)


def mean_by_date(values: FloatArray, days: npt.NDArray[np.generic]) -> tuple[float, float]:
    """Return the mean of values and its standard error, those of one date being one draw; NaN of a single date."""
    if not len(values):
        return float("nan"), float("nan")
    _, index = np.unique(days, return_inverse=True)
    sizes = np.bincount(index)
    mean = float(values.mean())
    if len(sizes) == 1:
        return mean, float("nan")
    rest = np.bincount(index, values - mean)
    return mean, float(np.sqrt(np.sum(rest**2) * len(rest) / (len(rest) - 1)) / len(values))
